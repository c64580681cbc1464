/// Writes one rank's events in Chrome's trace format, comma-separated. Times are microseconds with three decimals, so that
/// what lies in something else by the nanosecond does so in the file too.
struct TraceEncoder {
  private(set) var bytes: [UInt8] = []
  private let rank: Int
  private let origin: Int64
  private let scale: Double

  /// - Parameters:
  ///   - origin: the rank's clock at time 0 of the file.
  ///   - scale: what times since then are multiplied with.
  init(rank: Int, origin: Int64, scale: Double) {
    (self.rank, self.origin, self.scale) = (rank, origin, scale)
  }

  mutating func add(_ recording: Profiler.Recording) {
    addName("process_name", track: 0, "rank \(rank)")
    addName("process_sort_index", track: 0, "\(rank)", key: "sort_index", isText: false)
    addName("thread_name", track: ProfileCategory.operation.track, "work")
    addName("thread_name", track: ProfileCategory.weights.track, "weights read ahead")
    if recording.events.contains(where: { $0.category == .device }) {
      addName("thread_name", track: ProfileCategory.device.track, "device")
    }
    // Those that hold others come before them.
    for event in recording.events.sorted(by: { ($0.start, -$0.duration) < ($1.start, -$1.duration) }) {
      add(event, recording.text(event.name))
    }
    for (number, transfer) in recording.transfers.enumerated() { add(transfer, number) }
    for sample in recording.samples { add(sample) }
  }

  // MARK: Events

  private mutating func addName(_ kind: String, track: Int, _ value: String, key: String = "name", isText: Bool = true)
  {
    begin("M", kind, track: track)
    text(",\"args\":{\"\(key)\":")
    if isText { quoted(value) } else { text(value) }
    text("}}")
  }

  private mutating func add(_ event: ProfileEvent, _ name: String) {
    begin("X", name, track: event.category.track)
    text(",\"cat\":\"\(event.category.rawValue)\",\"ts\":")
    let start = time(event.start)
    microseconds(start)
    text(",\"dur\":")
    microseconds(time(event.end) - start)
    var separator = ",\"args\":{"
    func argument(_ name: String, _ value: Int64, _ encoder: inout TraceEncoder) {
      encoder.text(separator)
      encoder.text("\"\(name)\":\(value)")
      separator = ","
    }
    if event.operations > 0 { argument("operations", Int64(event.operations), &self) }
    if event.bytes > 0 { argument("bytes", Int64(event.bytes), &self) }
    if event.skipped { argument("skipped", 1, &self) }
    text(separator == "," ? "}}" : "}")
  }

  /// Begin and end of what overlaps others.
  private mutating func add(_ transfer: ProfileTransfer, _ number: Int) {
    for (phase, moment) in [("b", transfer.start), ("e", transfer.end)] {
      begin(phase, "transfer", track: ProfileCategory.communication.track)
      text(",\"cat\":\"communication\",\"id\":\"\(rank).\(number)\",\"ts\":")
      microseconds(time(moment))
      text(phase == "b" ? ",\"args\":{\"bytes\":\(Int64(transfer.bytes))}}" : "}")
    }
  }

  /// Counters, in bytes.
  private mutating func add(_ sample: ProfileSample) {
    let memory = sample.memory
    add("memory", ["tensors": memory.tensors, "process": memory.anonymous, "files": memory.files], at: sample.time)
    if let read = memory.diskReads { add("disk reads", ["bytes": read], at: sample.time) }
  }

  private mutating func add(_ counter: String, _ values: KeyValuePairs<String, Int>, at moment: Int64) {
    begin("C", counter, track: 0)
    text(",\"ts\":")
    microseconds(time(moment))
    text(",\"args\":{" + values.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}}")
  }

  // MARK: Text

  private mutating func begin(_ phase: String, _ name: String, track: Int) {
    if !bytes.isEmpty { text(",\n") }
    text("{\"ph\":\"\(phase)\",\"pid\":\(rank),\"tid\":\(track),\"name\":")
    quoted(name)
  }

  /// Nanoseconds of the file's time.
  private func time(_ moment: Int64) -> Int64 {
    let since = moment - origin
    return scale == 1 ? since : Int64((Double(since) * scale).rounded())
  }

  private mutating func microseconds(_ nanoseconds: Int64) {
    let fraction = String(abs(nanoseconds % 1000))
    text((nanoseconds < 0 ? "-" : "") + "\(abs(nanoseconds / 1000)).")
    text(String(repeating: "0", count: 3 - fraction.utf8.count) + fraction)
  }

  private mutating func text(_ text: String) { bytes.append(contentsOf: text.utf8) }

  private mutating func quoted(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
      case ..<0x20: self.text("\\u00" + (byte < 16 ? "0" : "") + String(byte, radix: 16))
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
