import StrictJSON
import TensorCore

/// The directory of a GGUF file: counts, notes, the tensors' names, extents, types and places.
struct GGUFHeaderReader {
  struct Entry {
    let name: String
    let type: GGUFType
    let shape: Shape
    /// Position in the file.
    let bytes: Range<Int>
  }

  private struct Place {
    let name: String
    let type: GGUFType
    let dimensions: [Int]
    let offset: Int
  }

  private static let maximumRank = 8
  private static let maximumTextLength = 1 << 16
  /// The smallest description of a tensor, and of a note: an empty name, and little else.
  private static let smallestTensor = 24
  private static let smallestNote = 13
  private static let otherFile =
    "take a file of another type of the same release, such as Q4_K_M (docs/checkpoints.md)"

  private let file: MappedFile
  private var cursor: ByteCursor
  private(set) var metadata: [String: String] = [:]
  private(set) var entries: [Entry] = []

  init(_ file: MappedFile) {
    self.file = file
    cursor = ByteCursor(file.bytes, file: file.path, part: "header")
  }

  mutating func read() throws(CheckpointError) {
    guard try cursor.read(UInt32.self, "a signature") == 0x4655_4747 else {
      throw cursor.malformed("GGUF", "other bytes")
    }
    let version = try cursor.read(UInt32.self, "a version")
    guard version == 2 || version == 3 else {
      let isSwapped = version.byteSwapped == 2 || version.byteSwapped == 3
      throw .unsupportedFormat(
        file: file.path, found: isSwapped ? "a big-endian GGUF file" : "a GGUF file of version \(version)",
        remedy: "export it again as version 3 for little-endian machines")
    }
    let tensorCount = try count("tensors", smallest: GGUFHeaderReader.smallestTensor)
    let noteCount = try count("notes", smallest: GGUFHeaderReader.smallestNote)
    for _ in 0..<noteCount { try readNote() }
    var places: [Place] = []
    for _ in 0..<tensorCount { places.append(try readPlace()) }
    try locate(places)
  }

  /// A number of things that follow, each of which has a size.
  private mutating func count(_ what: String, smallest: Int) throws(CheckpointError) -> Int {
    let count = try cursor.size(UInt64.self, "a number of \(what)")
    guard count <= cursor.remaining / smallest else {
      throw cursor.malformed(
        "at most \(cursor.remaining / smallest) \(what), which is what the file has room for", "\(count)")
    }
    return count
  }

  private mutating func name(_ what: String) throws(CheckpointError) -> String {
    let length = try cursor.size(UInt64.self, "the length of \(what)")
    guard length <= GGUFHeaderReader.maximumTextLength else {
      throw cursor.malformed("at most \(GGUFHeaderReader.maximumTextLength) bytes as \(what)", "\(length)")
    }
    return try cursor.text(length, what)
  }

  // MARK: Notes

  private mutating func readNote() throws(CheckpointError) {
    let key = try name("a note's name")
    let type = try cursor.read(UInt32.self, "a note's type")
    let value = type == 9 ? try list() : try note(type)
    guard metadata.updateValue(value, forKey: key) == nil else {
      throw cursor.malformed("each note once", "\(key.oneLine) twice")
    }
  }

  private mutating func note(_ type: UInt32) throws(CheckpointError) -> String {
    switch type {
    case 0: return "\(try cursor.read(UInt8.self, "a note"))"
    case 1: return "\(try cursor.read(Int8.self, "a note"))"
    case 2: return "\(try cursor.read(UInt16.self, "a note"))"
    case 3: return "\(try cursor.read(Int16.self, "a note"))"
    case 4: return "\(try cursor.read(UInt32.self, "a note"))"
    case 5: return "\(try cursor.read(Int32.self, "a note"))"
    case 6: return "\(Float(bitPattern: try cursor.read(UInt32.self, "a note")))"
    case 7: return try cursor.read(UInt8.self, "a note") == 0 ? "false" : "true"
    case 8:
      let length = try cursor.size(UInt64.self, "the length of a note")
      if length <= GGUFHeaderReader.maximumTextLength { return try cursor.text(length, "a note") }
      _ = try cursor.take(length, "a note")
      return "a text of \(length) bytes"
    case 10: return "\(try cursor.read(UInt64.self, "a note"))"
    case 11: return "\(try cursor.read(Int64.self, "a note"))"
    case 12: return "\(Double(bitPattern: try cursor.read(UInt64.self, "a note")))"
    default: throw cursor.malformed("a note of a known type", "type \(type)")
    }
  }

  private mutating func list() throws(CheckpointError) -> String {
    let type = try cursor.read(UInt32.self, "a list's type")
    guard let size = GGUFHeaderReader.smallestSize(ofNote: type) else {
      throw cursor.malformed("a list of numbers or texts", "type \(type)")
    }
    let count = try count("list elements", smallest: size)
    if type == 8 {
      for _ in 0..<count {
        let length = try cursor.size(UInt64.self, "the length of a text")
        _ = try cursor.take(length, "a text")
      }
    } else if count <= 16 {
      var texts: [String] = []
      for _ in 0..<count { texts.append(try note(type)) }
      return texts.joined(separator: ", ")
    } else {
      _ = try cursor.take(count * size, "a list")
    }
    return "a list of \(count)"
  }

  private static func smallestSize(ofNote type: UInt32) -> Int? {
    switch type {
    case 0, 1, 7: 1
    case 2, 3: 2
    case 4, 5, 6: 4
    case 8, 10, 11, 12: 8
    default: nil
    }
  }

  // MARK: Tensors

  private mutating func readPlace() throws(CheckpointError) -> Place {
    let name = try name("a tensor's name")
    let rank = try cursor.size(UInt32.self, "a number of extents")
    guard rank <= GGUFHeaderReader.maximumRank else {
      throw cursor.malformed("at most \(GGUFHeaderReader.maximumRank) extents of \(name.oneLine)", "\(rank)")
    }
    var dimensions: [Int] = []
    for _ in 0..<rank { dimensions.append(try cursor.size(UInt64.self, "an extent of \(name.oneLine)")) }
    let number = try cursor.read(UInt32.self, "the type of \(name.oneLine)")
    guard let type = GGUFType(number: number) else {
      throw .unsupportedType(
        file: file.path, key: name, expected: "one of \(GGUFType.names)", found: GGUFType.name(of: number),
        remedy: GGUFHeaderReader.otherFile)
    }
    let offset = try cursor.size(UInt64.self, "the place of \(name.oneLine)")
    return Place(name: name, type: type, dimensions: dimensions.reversed(), offset: offset)
  }

  private mutating func locate(_ places: [Place]) throws(CheckpointError) {
    var alignment = 32
    if let note = metadata["general.alignment"] {
      guard let value = Int(note), value > 0, value <= 1 << 20, value & (value - 1) == 0 else {
        throw cursor.malformed("a power of two as general.alignment", note.oneLine)
      }
      alignment = value
    }
    let start = (cursor.position + alignment - 1) / alignment * alignment
    // A file without tensors may end right after its notes.
    let size = max(file.byteCount - start, 0)
    var names: Set<String> = []
    for place in places {
      guard names.insert(place.name).inserted else { throw malformed(place.name, "it once", "it twice") }
      entries.append(try entry(place, dataStart: start, dataByteCount: size, alignment: alignment))
    }
    entries.sort { ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound) }
    for (previous, next) in zip(entries, entries.dropFirst()) where next.bytes.lowerBound < previous.bytes.upperBound {
      throw malformed(next.name, "bytes of its own", "bytes shared with \(previous.name.oneLine)")
    }
  }

  private func entry(
    _ place: Place, dataStart: Int, dataByteCount: Int, alignment: Int
  ) throws(CheckpointError) -> Entry {
    let unit = place.type.unit
    let dimensions = try originalDimensions(place)
    guard let count = Shape.elementCount(of: dimensions) else {
      throw malformed(place.name, "extents whose elements can be counted in 63 bits", "\(dimensions)")
    }
    guard (dimensions.last ?? 1) % unit.elementCount == 0 else {
      throw .unsupportedType(
        file: file.path, key: place.name, expected: "rows of whole blocks of \(unit.elementCount)",
        found: "\(place.type.blocks?.description ?? "numbers") of \(dimensions)", remedy: GGUFHeaderReader.otherFile)
    }
    let (size, overflow) = (count / unit.elementCount).multipliedReportingOverflow(by: unit.byteCount)
    guard place.offset % alignment == 0 else {
      throw malformed(place.name, "a place at a multiple of \(alignment)", "\(place.offset)")
    }
    guard !overflow, place.offset <= dataByteCount, size <= dataByteCount - place.offset else {
      throw malformed(
        place.name, "elements within the \(dataByteCount) bytes of data",
        "\(dimensions) at byte \(place.offset): the file is cut short, or lies")
    }
    let begin = dataStart + place.offset
    return Entry(name: place.name, type: place.type, shape: Shape(dimensions), bytes: begin..<begin + size)
  }

  /// The extents that a tensor had before its exporter gave it others that its tools can quantize.
  private func originalDimensions(_ place: Place) throws(CheckpointError) -> [Int] {
    guard let note = metadata["comfy.gguf.orig_shape.\(place.name)"] else { return place.dimensions }
    var original: [Int] = []
    for part in note.split(separator: ",") {
      guard let extent = Int(part.drop { $0 == " " }) else {
        throw malformed(place.name, "numbers as its original shape", note.oneLine)
      }
      original.append(extent)
    }
    guard let count = Shape.elementCount(of: original), count == Shape.elementCount(of: place.dimensions) else {
      throw malformed(place.name, "an original shape of as many elements as \(place.dimensions)", "\(original)")
    }
    // An exporter joins axes so that rows become whole blocks. Whoever needs the original extents unfolds them.
    if (original.last ?? 1) % place.type.unit.elementCount != 0 { return place.dimensions }
    return original
  }

  private func malformed(_ name: String, _ expected: String, _ found: String) -> CheckpointError {
    .malformed(file: file.path, place: "tensor \(name.oneLine)", expected: expected, found: found)
  }
}
