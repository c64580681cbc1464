import StrictJSON

/// Checks a trace against Chrome's trace event format as strictly as Perfetto's importer reads it: phases and their fields,
/// slices that lie in each other or apart, asynchronous events in pairs.
struct TraceChecker {
  struct Slice {
    let rank: Int
    let track: Int
    let category: String
    let name: String
    /// Nanoseconds.
    let start: Int
    let duration: Int
    let arguments: JSONValue

    var end: Int { start + duration }
  }

  private(set) var problems: [String] = []
  private(set) var slices: [Slice] = []
  private(set) var counters: [String: [[String: Int]]] = [:]
  private(set) var processNames: [Int: String] = [:]
  /// Begun and ended transfers, by rank.
  private(set) var transfers: [Int: [(start: Int, end: Int, bytes: Int)]] = [:]
  private var begun: [String: (rank: Int, start: Int, bytes: Int)] = [:]

  init(_ trace: JSONValue) {
    for (index, event) in (trace["traceEvents"].array ?? []).enumerated() { check(event, "event \(index)") }
    if trace["traceEvents"].array?.isEmpty != false { problems.append("no events") }
    if !begun.isEmpty { problems.append("\(begun.count) transfers have no end") }
    for slice in slices where processNames[slice.rank] == nil { problems.append("rank \(slice.rank) has no name") }
    checkNesting()
  }

  func slices(_ category: String, rank: Int? = nil) -> [Slice] {
    slices.filter { $0.category == category && (rank == nil || $0.rank == rank) }
  }

  private mutating func check(_ event: JSONValue, _ place: String) {
    guard let phase = event["ph"].string, let name = event["name"].string, let rank = event["pid"].int,
      let track = event["tid"].int, !name.isEmpty
    else { return problems.append("\(place): ph, name, pid or tid is missing: \(event.summary)") }
    let time = event["ts"].double.map { Int(($0 * 1000).rounded()) }
    switch phase {
    case "M":
      if name == "process_name" { processNames[rank] = event["args"]["name"].string }
      if time != nil { problems.append("\(place): metadata with a time") }
    case "X":
      guard let time, let duration = event["dur"].double, let category = event["cat"].string else {
        return problems.append("\(place): ts, dur or cat is missing")
      }
      if duration < 0 { problems.append("\(place): lasts \(duration)") }
      slices.append(
        Slice(
          rank: rank, track: track, category: "\(category)", name: name, start: time,
          duration: Int((duration * 1000).rounded()), arguments: event["args"]))
      let expected = category == "weights" ? 2 : category == "device" ? 3 : 1
      if track != expected { problems.append("\(place): \(category) on track \(track)") }
    case "b", "e":
      guard let time, let id = event["id"].string, event["cat"].string != nil else {
        return problems.append("\(place): ts, id or cat is missing")
      }
      if phase == "b" {
        if begun.updateValue((rank, time, event["args"]["bytes"].int ?? 0), forKey: id) != nil {
          problems.append("\(place): \(id) begins twice")
        }
      } else if let first = begun.removeValue(forKey: id), first.rank == rank, first.start <= time {
        transfers[rank, default: []].append((first.start, time, first.bytes))
      } else {
        problems.append("\(place): \(id) ends without a beginning")
      }
    case "C":
      guard time != nil, let values = event["args"].object, !values.isEmpty, values.values.allSatisfy({ $0.int != nil })
      else { return problems.append("\(place): a counter without time or values") }
      counters[name, default: []].append(values.compactMapValues(\.int))
    default: problems.append("\(place): phase \(phase)")
    }
  }

  /// Slices of one track are importable only where each lies in another or beside it.
  private mutating func checkNesting() {
    struct Track: Hashable {
      let rank: Int
      let number: Int
    }
    let nesting = slices.filter { $0.category != "weights" }
    for (track, all) in Dictionary(grouping: nesting, by: { Track(rank: $0.rank, number: $0.track) }) {
      var open: [Slice] = []
      for slice in all.sorted(by: { ($0.start, -$0.duration) < ($1.start, -$1.duration) }) {
        while let last = open.last, last.end <= slice.start { open.removeLast() }
        if let last = open.last, slice.end > last.end {
          problems.append(
            "rank \(track.rank): \(slice.name) at \(slice.start) ends after \(last.name), which it began in")
        }
        open.append(slice)
      }
    }
  }
}
