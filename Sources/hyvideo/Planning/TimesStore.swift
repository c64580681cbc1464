import Foundation
import Generation
import TensorOps

/// Where times of operations are kept between runs: one file for each machine, device and number of threads.
struct TimesStore {
  private let path: String
  private(set) var times: OperationTimes

  init(device: String, threads: Int, isEmpty: Bool) {
    let provenance = OperationTimes.Provenance(
      version: ProgramVersion.current, device: device, processor: ProcessorName.current ?? "unknown", threads: threads)
    let environment = ProcessInfo.processInfo.environment
    let cache = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? NSHomeDirectory() + "/.cache"
    let name = "times-\(provenance.processor)-\(device)-\(threads)-\(provenance.version)"
      .map { $0.isLetter || $0.isNumber || "-.".contains($0) ? $0 : "_" }
    path = "\(cache)/hyvideo/\(String(name)).json"
    times = OperationTimes(provenance: provenance)
    if isEmpty { return }
    // A file that cannot be read is as none: times are measured again.
    guard let data = FileManager.default.contents(atPath: path),
      let stored = try? JSONDecoder().decode(OperationTimes.self, from: data), stored.provenance == provenance
    else { return }
    times = stored
  }

  /// Times what is missing, and keeps it where there is a place for it.
  mutating func measure(_ work: OperationCounts, on backend: any Backend, forAtMost seconds: Double) throws {
    let before = times.timings.count
    try times.measure(work, on: backend, forAtMost: seconds)
    if times.timings.count == before { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    try? FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    // A home that cannot be written costs the next run a second.
    try? encoder.encode(times).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}
