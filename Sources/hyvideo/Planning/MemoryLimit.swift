import Foundation
import Generation
import HunyuanVideo

/// What a process may hold, in the host's memory and in its device's.
struct MemoryLimit {
  struct Bound {
    let bytes: Int
    /// Where it comes from, for messages: `--memory-limit`, `available memory`, …
    let source: String
    /// Before the noun: `` of the host's, `of device memory `.
    let kind: String

    /// Of a host that is not here, of which no flag says what it has.
    static let unknown = Bound(bytes: .max, source: "", kind: "")

    /// Whether so much is within it, with a little more for what no plan knows.
    func allows(_ peak: Int) -> Bool { peak + peak / 32 <= bytes }
  }

  let host: Bound
  /// Nil where the device computes in the host's memory.
  let device: Bound?
  /// Where a flag says more than there is.
  let warning: String?

  func allows(_ plan: RunPlan) -> Bool {
    host.allows(plan.hostPeakBytes) && device?.allows(plan.devicePeakBytes) ?? true
  }

  /// The bound that a plan comes nearest to or goes beyond most, what it takes of it, and in which stage.
  func tightest(_ plan: RunPlan) -> (Bound, found: Int, stage: String) {
    if let device, plan.devicePeakBytes > 0,
      Double(plan.devicePeakBytes) / Double(device.bytes) >= Double(plan.hostPeakBytes) / Double(host.bytes)
        || (!device.allows(plan.devicePeakBytes) && host.allows(plan.hostPeakBytes))
    {
      let stage = plan.stages.max { $0.devicePeakBytes < $1.devicePeakBytes }
      return (device, plan.devicePeakBytes, stage?.stage.rawValue ?? "run")
    }
    return (host, plan.hostPeakBytes, plan.largestStage?.stage.rawValue ?? "run")
  }

  /// What the flags say, else a process's share of what the host has, and what its device has.
  init(_ options: PlanOptions, processesOnHost: Int, for planning: DevicePlanning) {
    let available = planning.isHere ? HostMemory.available : (bytes: .max, source: "")
    warning = options.limits.memoryLimit.flatMap {
      Self.warning($0.bytes, processes: max(processesOnHost, 1), available: available)
    }
    if let given = options.limits.memoryLimit {
      host = Bound(bytes: given.bytes, source: "--memory-limit", kind: "")
    } else if !planning.isHere {
      host = .unknown
    } else {
      host = Bound(
        bytes: available.bytes / max(processesOnHost, 1),
        source: processesOnHost > 1 ? "a rank's share of \(available.source)" : available.source, kind: "")
    }
    device = planning.memory.map { memory in
      let given = options.limits.deviceMemoryLimit
      return Bound(
        bytes: given?.bytes ?? memory.bytes, source: given == nil ? memory.source : "--device-memory-limit",
        kind: "of device memory ")
    }
  }

  /// What to say of a limit that all processes of the host together cannot be given; nil where they can.
  private static func warning(_ limit: Int, processes: Int, available: (bytes: Int, source: String)) -> String? {
    let all = limit.multipliedReportingOverflow(by: processes)
    let bytes = all.overflow ? Int.max : all.partialValue
    if bytes <= available.bytes { return nil }
    return "--memory-limit allows \(ByteCount.text(bytes))"
      + (processes > 1 ? " (\(processes) ranks of \(ByteCount.text(limit)) each)" : "")
      + ", more than \(ByteCount.text(available.bytes)) (\(available.source)): what fits the limit may not fit the host"
  }
}

extension ModelFolder {
  /// Refuses, for commands that plan nothing, what the host could not hold by far.
  func requireConceivable(_ request: GenerationRequest) throws {
    let least = try LeastMemory(
      transformerNetwork().transformerConfiguration(), autoencoderNetwork().autoencoderConfiguration()
    ).ofHost(request, computesOnHost: false)
    let available = HostMemory.available
    if least.bytes <= available.bytes { return }
    throw RequestError(
      "does not fit",
      at: VideoSize.text(frames: request.frames, height: request.roundedHeight, width: request.roundedWidth),
      expected: "at most \(ByteCount.text(available.bytes)) (\(available.source))",
      found: "more than \(ByteCount.text(least.bytes)) to \(least.stage.rawValue)",
      remedy: "choose a smaller size or fewer frames")
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
