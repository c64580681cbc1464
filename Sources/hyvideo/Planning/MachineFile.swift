import Foundation
import Generation

/// What has been measured of a machine, kept between runs in the user's cache folder: one file for each machine, device and number
/// of threads.
struct MachineFile {
  let provenance: OperationTimes.Provenance
  private let path: String

  /// - Parameter what: what was measured; the file's name begins with it.
  init(_ what: String, device: String, threads: Int) {
    provenance = OperationTimes.Provenance(
      version: ProgramVersion.current, device: device, processor: ProcessorName.current ?? "unknown", threads: threads)
    let environment = ProcessInfo.processInfo.environment
    let cache = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? NSHomeDirectory() + "/.cache"
    let name = "\(what)-\(provenance.processor)-\(device)-\(threads)-\(provenance.version)"
      .map { $0.isLetter || $0.isNumber || "-.".contains($0) ? $0 : "_" }
    path = "\(cache)/hyvideo/\(String(name)).json"
  }

  /// Nil where there is none, and where it cannot be read: it is measured again.
  func read<Value: Decodable>(_ type: Value.Type) -> Value? {
    FileManager.default.contents(atPath: path).flatMap { try? JSONDecoder().decode(type, from: $0) }
  }

  /// A home that cannot be written costs the next run as much as this one.
  func write(_ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    try? FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try? encoder.encode(value).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}
