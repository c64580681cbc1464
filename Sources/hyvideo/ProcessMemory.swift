import Foundation

/// What the system says of this process's memory.
enum ProcessMemory {
  /// The largest resident size since the last reset, in bytes; 0 where the system does not tell.
  static func peakResidentBytes() -> Int { status("VmHWM:") }

  /// The resident size now.
  static func residentBytes() -> Int { status("VmRSS:") }

  private static func status(_ field: String) -> Int {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return 0 }
    for line in status.split(separator: "\n") where line.hasPrefix(field) {
      return (Int(line.split(whereSeparator: \.isWhitespace).dropFirst().first ?? "") ?? 0) * 1024
    }
    return 0
  }

  /// What the process has read from the disk so far, in bytes; nil where the system does not tell.
  static func bytesRead() -> Int? {
    guard let counts = try? String(contentsOfFile: "/proc/self/io", encoding: .utf8) else { return nil }
    let line = counts.split(separator: "\n").first { $0.hasPrefix("read_bytes:") }
    return line.flatMap { Int($0.split(separator: " ").last ?? "") }
  }

  /// Starts a new measurement of the peak.
  static func resetPeak() {
    // The system may refuse (containers): peaks then are those since the start.
    guard let file = fopen("/proc/self/clear_refs", "w") else { return }
    fputs("5", file)
    fclose(file)
  }
}
