import Foundation
import Generation

/// What a process may hold.
struct MemoryLimit {
  let bytes: Int
  /// Where it comes from, for messages: `--memory-limit`, `available memory`, …
  let source: String

  /// Whether a plan fits, with a little more than it says for what no plan knows.
  func allows(_ plan: RunPlan) -> Bool { plan.hostPeakBytes + plan.hostPeakBytes / 32 <= bytes }

  /// What the flag says, else a process's share of what the host has.
  init(_ given: ByteCount?, processesOnHost: Int) {
    if let given {
      (bytes, source) = (given.bytes, "--memory-limit")
      return
    }
    let available = HostMemory.available
    bytes = available.bytes / max(processesOnHost, 1)
    source = processesOnHost > 1 ? "a rank's share of \(available.source)" : available.source
  }
}

/// What the host, or the control group that the process is in, can still give.
enum HostMemory {
  /// With what this process holds already.
  static var available: (bytes: Int, source: String) {
    let own = ProcessMemory.residentBytes()
    var best = (bytes: Int(clamping: ProcessInfo.processInfo.physicalMemory), source: "the host's memory")
    if let free = meminfo("MemAvailable"), free + own < best.bytes {
      best = (free + own, "the host's available memory")
    }
    for (limit, usage) in [
      ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
      ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ] {
      guard let limit = integer(limit), let used = integer(usage) else { continue }
      // What files have left in memory can be taken back.
      let cached = cachedBytes(beside: usage == "/sys/fs/cgroup/memory.current" ? "/sys/fs/cgroup" : "")
      let rest = max(limit - used + cached + own, 0)
      if rest < best.bytes { best = (rest, "the control group's memory") }
    }
    return best
  }

  private static func integer(_ path: String) -> Int? {
    (try? String(contentsOfFile: path, encoding: .utf8)).flatMap {
      Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
    }
  }

  private static func cachedBytes(beside folder: String) -> Int {
    guard !folder.isEmpty, let text = try? String(contentsOfFile: folder + "/memory.stat", encoding: .utf8) else {
      return 0
    }
    let values = text.split(separator: "\n").first { $0.hasPrefix("inactive_file ") }?.split(separator: " ")
    return values?.last.flatMap { Int($0) } ?? 0
  }

  private static func meminfo(_ key: String) -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix(key + ":") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }
}
