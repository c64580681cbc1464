import StrictJSON
import TensorCore

/// Reads the JSON text of a safetensors header.
struct SafetensorsHeaderReader {
  let file: String
  let dataStart: Int
  let dataByteCount: Int
  private(set) var metadata: [String: String] = [:]
  private var entries: [SafetensorsHeader.Entry] = []
  private var names: Set<String> = []

  init(file: String, dataStart: Int, dataByteCount: Int) {
    self.file = file
    self.dataStart = dataStart
    self.dataByteCount = dataByteCount
  }

  mutating func read(_ text: [UInt8]) throws(CheckpointError) {
    var cursor = try JSONCursor(text, failure: CheckpointError.malformedJSON("header", of: file))
    try cursor.beginObject()
    while let name = try cursor.nextName() {
      guard names.insert(name).inserted else {
        throw cursor.malformed("each tensor once", found: "\(name.oneLine) twice")
      }
      if name == "__metadata__" {
        try readMetadata(&cursor)
      } else {
        guard entries.count < SafetensorsHeader.maximumTensorCount else {
          throw cursor.malformed("at most \(SafetensorsHeader.maximumTensorCount) tensors", found: "more")
        }
        entries.append(try entry(name, &cursor))
      }
    }
    try cursor.finish()
  }

  private mutating func readMetadata(_ cursor: inout JSONCursor<CheckpointError>) throws(CheckpointError) {
    try cursor.beginObject("an object of strings as metadata")
    while let name = try cursor.nextName() {
      guard metadata.count < SafetensorsHeader.maximumMetadataCount else {
        throw cursor.malformed("at most \(SafetensorsHeader.maximumMetadataCount) metadata", found: "more")
      }
      let value = try cursor.readString("a string as metadata \(name.oneLine)")
      guard metadata.updateValue(value, forKey: name) == nil else {
        throw cursor.malformed("each metadata name once", found: "\(name.oneLine) twice")
      }
    }
  }

  /// Reads one tensor's `{"dtype": …, "shape": […], "data_offsets": [begin, end]}`. As in the format's library, other
  /// members are passed over.
  private func entry(
    _ name: String, _ cursor: inout JSONCursor<CheckpointError>
  ) throws(CheckpointError) -> SafetensorsHeader.Entry {
    var dtypeName: String?
    var dimensions: [Int]?
    var offsets: [Int]?
    let place = name.oneLine
    try cursor.beginObject("an object as tensor \(place)")
    while let field = try cursor.nextName() {
      switch field {
      case "dtype" where dtypeName == nil: dtypeName = try cursor.readString("a type's name as dtype of \(place)")
      case "shape" where dimensions == nil:
        dimensions = try sizes(&cursor, "shape of \(place)", limit: SafetensorsHeader.maximumRank)
      case "data_offsets" where offsets == nil: offsets = try sizes(&cursor, "data_offsets of \(place)", limit: 2)
      case "dtype", "shape", "data_offsets": throw cursor.malformed("one \(field) of \(place)", found: "two")
      default: try cursor.skipValue()
      }
    }
    guard let dtypeName else { throw malformed(name, "a dtype", "none") }
    guard let dimensions else { throw malformed(name, "a shape", "none") }
    guard let offsets, offsets.count == 2 else { throw malformed(name, "two data_offsets", "\(offsets?.count ?? 0)") }
    guard let dtype = SafetensorsType.dtype(named: dtypeName) else {
      throw .unsupportedType(
        file: file, key: name, expected: "one of \(SafetensorsType.names)", found: dtypeName,
        remedy: "use a release of another type (docs/checkpoints.md)")
    }
    return try checked(name, dtype, dimensions, begin: offsets[0], end: offsets[1])
  }

  private func sizes(
    _ cursor: inout JSONCursor<CheckpointError>, _ what: String, limit: Int
  ) throws(CheckpointError) -> [Int] {
    var result: [Int] = []
    try cursor.beginArray("an array of sizes as \(what)")
    while try cursor.nextElement() {
      guard result.count < limit else { throw cursor.malformed("at most \(limit) numbers in \(what)", found: "more") }
      result.append(try cursor.readInteger("a size from 0 to 2^63 - 1 in \(what)", in: 0 ... .max))
    }
    return result
  }

  private func checked(
    _ name: String, _ dtype: DType, _ dimensions: [Int], begin: Int, end: Int
  ) throws(CheckpointError) -> SafetensorsHeader.Entry {
    guard let count = Shape.elementCount(of: dimensions) else {
      throw malformed(name, "a shape whose elements can be counted in 63 bits", "\(dimensions)")
    }
    let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
    guard !overflow else { throw malformed(name, "a size below 2^63 bytes", "\(dimensions) of \(dtype)") }
    guard begin <= end else { throw malformed(name, "an end at or after the begin \(begin)", "end \(end)") }
    guard end <= dataByteCount else {
      throw malformed(
        name, "an end within the \(dataByteCount) bytes of data", "end \(end): the file is cut short, or lies")
    }
    guard end - begin == size else {
      throw malformed(name, "\(size) bytes for \(Shape(dimensions)) of \(dtype)", "\(end - begin)")
    }
    return SafetensorsHeader.Entry(
      name: name, dtype: dtype, shape: Shape(dimensions), bytes: dataStart + begin..<dataStart + end)
  }

  /// The tensors in the order of their data, which they must cover exactly.
  func sortedEntries() throws(CheckpointError) -> [SafetensorsHeader.Entry] {
    let sorted = entries.sorted {
      ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound)
    }
    var end = dataStart
    var previous = "the header"
    for entry in sorted {
      let begin = entry.bytes.lowerBound
      if begin != end {
        let found = begin < end ? "\(end - begin) bytes shared with it" : "a gap of \(begin - end) bytes"
        throw malformed(entry.name, "data right after \(previous.oneLine)", found)
      }
      end = entry.bytes.upperBound
      previous = entry.name
    }
    let rest = dataStart + dataByteCount - end
    if rest != 0 {
      throw .malformed(file: file, place: "end", expected: "no data after the last tensor", found: "\(rest) bytes")
    }
    return sorted
  }

  private func malformed(_ name: String, _ expected: String, _ found: String) -> CheckpointError {
    .malformed(file: file, place: "tensor \(name.oneLine)", expected: expected, found: found)
  }
}
