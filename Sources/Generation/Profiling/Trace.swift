public import Checkpoints
import Foundation
import StrictJSON

/// A trace that `Profiler` has written, read back.
public struct Trace: Sendable {
  /// A stretch of a rank's work.
  struct Slice: Sendable {
    let rank: Int
    let name: String
    /// Microseconds.
    let start: Double
    let duration: Double
    let operations: Double
    let bytes: Double
    let skipped: Bool

    var end: Double { start + duration }
    var seconds: Double { duration / 1e6 }
  }

  let generator: String
  let ranks: [RankHeader]
  public var rankCount: Int { ranks.count }
  /// By category, in the order of their starts.
  var slices: [ProfileCategory: [Slice]] = [:]
  /// The largest values of the memory counter, by name, over all ranks.
  var memoryPeaks: [String: Double] = [:]
  /// Bytes from the disk between the first and the last sample, over all ranks.
  var diskReads = 0.0

  /// - Throws: `CheckpointError` where the file cannot be read, is not JSON or is another program's trace.
  public init(contentsOf path: String) throws(CheckpointError) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw .unreadable(file: path, reason: "no such file, or no permission to read it")
    }
    func malformed(_ place: String, _ expected: String, _ found: String) -> CheckpointError {
      .malformed(file: path, place: place, expected: expected, found: found)
    }
    var cursor = try JSONCursor([UInt8](data)) { error in
      malformed("byte \(error.offset)", error.expected, error.found ?? "the end")
    }
    var metadata: JSONValue?
    var events = EventReader(malformed: malformed)
    var hasEvents = false
    try cursor.beginObject("a trace of hyvideo")
    while let name = try cursor.nextName() {
      switch name {
      case "otherData": metadata = try cursor.readValue()
      case "traceEvents":
        hasEvents = true
        try cursor.beginArray()
        while try cursor.nextElement() { try events.add(try cursor.readValue()) }
      default: try cursor.skipValue()
      }
    }
    try cursor.finish()
    guard let metadata, hasEvents, metadata["hyvideo"]["format"].string == TraceFile.version else {
      throw malformed("otherData", "a trace written by hyvideo generate --profile", "another file")
    }
    generator = metadata["hyvideo"]["generator"].string ?? "hyvideo"
    ranks = (metadata["ranks"].array ?? []).enumerated().map { index, rank in
      RankHeader(
        rank: rank["rank"].int ?? index, host: rank["host"].string ?? "", threads: rank["threads"].int ?? 1,
        peakOperationsPerSecond: rank["peak_operations_per_second"].double,
        peakBytesPerSecond: rank["peak_bytes_per_second"].double, clockStretch: rank["clock_stretch"].double ?? 1,
        lostEvents: rank["lost_events"].int ?? 0)
    }
    slices = events.slices.mapValues { $0.sorted { ($0.start, -$0.duration) < ($1.start, -$1.duration) } }
    memoryPeaks = events.memoryPeaks
    diskReads = events.diskReads.values.reduce(0) { $0 + $1.last - $1.first }
  }

  /// Sorts events into their kinds.
  private struct EventReader {
    let malformed: (String, String, String) -> CheckpointError
    var slices: [ProfileCategory: [Slice]] = [:]
    var memoryPeaks: [String: Double] = [:]
    var diskReads: [Int: (first: Double, last: Double)] = [:]
    private var count = 0

    init(malformed: @escaping (String, String, String) -> CheckpointError) { self.malformed = malformed }

    mutating func add(_ event: JSONValue) throws(CheckpointError) {
      defer { count += 1 }
      let arguments = event["args"]
      guard let phase = event["ph"].string, let name = event["name"].string, let rank = event["pid"].int else {
        throw malformed("traceEvents[\(count)]", "an event with ph, pid and name", event.summary)
      }
      switch phase {
      case "X":
        guard let category = ProfileCategory(rawValue: event["cat"].string ?? ""),
          let start = event["ts"].double, let duration = event["dur"].double, duration >= 0
        else { throw malformed("traceEvents[\(count)]", "cat, ts and dur", event.summary) }
        slices[category, default: []].append(
          Slice(
            rank: rank, name: name, start: start, duration: duration, operations: arguments["operations"].double ?? 0,
            bytes: arguments["bytes"].double ?? 0, skipped: arguments["skipped"].int == 1))
      case "C" where name == "memory":
        for (key, value) in arguments.object ?? [:] {
          memoryPeaks[key] = max(memoryPeaks[key] ?? 0, value.double ?? 0)
        }
      case "C" where name == "disk reads":
        let value = arguments["bytes"].double ?? 0
        diskReads[rank] = (diskReads[rank]?.first ?? value, value)
      default: break
      }
    }
  }
}
