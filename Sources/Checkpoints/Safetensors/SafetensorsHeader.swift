import TensorCore

/// The directory of a safetensors file: 8 bytes of header length (little-endian), a JSON object of tensors, then data.
///
/// Everything in it is checked before anything is believed, by the rules of the format's own library (0.8): the header
/// has at most 100 MB, and the tensors cover the data without overlap, hole or remainder. What is kept in memory is a
/// small multiple of the header's size in the file.
struct SafetensorsHeader {
  struct Entry {
    let name: String
    let dtype: DType
    let shape: Shape
    /// Position in the file.
    let bytes: Range<Int>
  }

  /// The limit of the format's library.
  static let maximumByteCount = 100_000_000
  static let maximumRank = 32
  /// Far above any network, far below what a header of the allowed size could make the reader hold.
  static let maximumTensorCount = 1 << 18
  static let maximumMetadataCount = 65_536

  /// In the order of the data.
  let entries: [Entry]
  let metadata: [String: String]

  init(_ file: MappedFile) throws(CheckpointError) {
    let text = try SafetensorsHeader.text(file)
    let dataStart = 8 + text.count
    var reader = SafetensorsHeaderReader(
      file: file.path, dataStart: dataStart, dataByteCount: file.byteCount - dataStart)
    try reader.read(text)
    entries = try reader.sortedEntries()
    metadata = reader.metadata
  }

  /// The header's JSON text, copied: its bytes cannot change between check and use.
  private static func text(_ file: MappedFile) throws(CheckpointError) -> [UInt8] {
    let bytes = file.bytes
    try refuseOthers(FileStart(bytes), file.path)
    func malformed(_ place: String, _ expected: String, _ found: String) -> CheckpointError {
      .malformed(file: file.path, place: place, expected: expected, found: found)
    }
    guard bytes.count >= 8 else { throw malformed("size", "at least 8 bytes", "\(bytes.count)") }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(maximumByteCount) else {
      throw malformed("header length", "at most \(maximumByteCount) bytes", "\(length)")
    }
    let end = 8 + Int(length)
    guard end <= bytes.count else {
      throw malformed("header length", "at most the \(bytes.count - 8) bytes that follow", "\(length)")
    }
    let text = Array(bytes[8..<end])
    guard text.first == UInt8(ascii: "{") else { throw malformed("header", "an object that starts with '{'", "none") }
    return text
  }

  /// Names the formats that are often taken for safetensors files.
  private static func refuseOthers(_ start: FileStart, _ path: String) throws(CheckpointError) {
    switch start.format {
    case .safetensors: return
    case .pytorch, .gguf:
      throw .unsupportedFormat(
        file: path, found: start.format == .gguf ? "a GGUF file" : "a PyTorch archive",
        remedy: "use the safetensors release of these weights")
    case nil: try start.refuseOthers(path)
    }
  }
}
