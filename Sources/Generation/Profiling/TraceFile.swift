import Checkpoints
public import Collectives
import Foundation

/// What a profile says of the run as a whole, and of this rank's device.
public struct TraceDescription: Sendable {
  /// The program and its version.
  public var generator: String
  /// Threads of this rank, and what they reach at most, where that was measured.
  public var threads: Int
  public var peakOperationsPerSecond: Double?
  public var peakBytesPerSecond: Double?
  /// Settings of the run, by name.
  public var settings: [String: String]

  public init(generator: String, threads: Int, settings: [String: String] = [:]) {
    (self.generator, self.threads, self.settings) = (generator, threads, settings)
  }
}

extension Profiler {
  /// Brings the events of all ranks together and writes them to one file, which the first rank does: Chrome's trace format, as
  /// Perfetto reads it. Every rank is a process in it.
  ///
  /// Clocks of different hosts do not run alike: each rank's time between the first and the last meeting is stretched to that of
  /// the first rank.
  public func write(
    to path: String, _ description: TraceDescription, group: any ProcessGroup = SingleProcessGroup()
  ) throws {
    let recording = finished()
    try group.barrier()
    let elapsed = Self.now - origin
    let reference = try group.broadcast([elapsed], from: 0)[0]
    var encoder = TraceEncoder(
      rank: group.rank, origin: origin, scale: elapsed > 0 ? Double(reference) / Double(elapsed) : 1)
    encoder.add(recording)
    let header = try JSONEncoder().encode(
      RankHeader(
        rank: group.rank, host: ProcessInfo.processInfo.hostName, threads: description.threads,
        peakOperationsPerSecond: description.peakOperationsPerSecond,
        peakBytesPerSecond: description.peakBytesPerSecond,
        clockStretch: elapsed > 0 ? Double(reference) / Double(elapsed) : 1, lostEvents: recording.lost))
    let headers = try group.gather(Array(header), to: 0)
    let events = try group.gather(encoder.bytes, to: 0)
    if group.rank > 0 { return }

    var settings = description.settings
    settings["generator"] = nil
    let fixed = ["generator": description.generator, "extent": extent.rawValue, "format": TraceFile.version]
    let sorted = JSONEncoder()
    sorted.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var file: [UInt8] = Array("{\"displayTimeUnit\":\"ms\",\n\"otherData\":{\"hyvideo\":".utf8)
    file += try sorted.encode(fixed)
    file += Array(",\"settings\":".utf8)
    file += try sorted.encode(settings)
    file += Array(",\"ranks\":[".utf8)
    file += headers.joined(separator: Array(",\n".utf8))
    file += Array("]},\n\"traceEvents\":[\n".utf8)
    file += events.joined(separator: Array(",\n".utf8))
    file += Array("\n]}\n".utf8)
    try FileSystem.write(file, to: path)
  }
}

enum TraceFile {
  static let version = "1"
}

/// One rank in the metadata of a trace.
struct RankHeader: Codable, Sendable {
  let rank: Int
  let host: String
  let threads: Int
  let peakOperationsPerSecond: Double?
  let peakBytesPerSecond: Double?
  /// What this rank's times were multiplied with.
  let clockStretch: Double
  let lostEvents: Int

  enum CodingKeys: String, CodingKey {
    case rank, host, threads
    case peakOperationsPerSecond = "peak_operations_per_second"
    case peakBytesPerSecond = "peak_bytes_per_second"
    case clockStretch = "clock_stretch"
    case lostEvents = "lost_events"
  }
}
