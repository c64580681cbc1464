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
    try refuseOtherFormats(bytes, file.path)
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
  private static func refuseOtherFormats(_ bytes: UnsafeRawBufferPointer, _ path: String) throws(CheckpointError) {
    let reason: (found: String, remedy: String)? =
      if bytes.starts(with: "version https://git-lfs".utf8) {
        ("a Git LFS pointer", "fetch the contents with git lfs pull")
      } else if bytes.starts(with: "PK\u{3}\u{4}".utf8) {
        ("a PyTorch archive", "use the safetensors release of these weights")
      } else if bytes.starts(with: "GGUF".utf8) {
        ("a GGUF file", "use the safetensors release of these weights")
      } else if bytes.starts(with: "<!".utf8) || bytes.starts(with: "<html".utf8) {
        ("a web page", "download the file itself, not the page about it")
      } else {
        nil
      }
    if let reason { throw .unsupportedFormat(file: path, found: reason.found, remedy: reason.remedy) }
  }
}
