import StrictJSON
import TensorCore

/// The directory of a zip archive (APPNOTE 6.3, with the 64-bit extensions). Nothing is ever unpacked to a file; names
/// that could lead out of a folder are refused all the same, as archives that overlap or claim the impossible are.
struct ZipArchive {
  struct Entry {
    let name: String
    let isDeflated: Bool
    /// Where the contents are in the file.
    let bytes: Range<Int>
    /// The size of the contents, inflated.
    let byteCount: Int
    /// CRC-32 of the contents, inflated; nil where the writer made none, and left 0 in its place.
    let checksum: UInt32?
  }

  let file: MappedFile
  /// By name, without folders.
  let entries: [String: Entry]

  init(_ file: MappedFile) throws(CheckpointError) {
    var reader = ZipDirectoryReader(file)
    entries = try reader.read()
    self.file = file
  }

  /// The bytes of an entry as they lie in the file.
  func stored(_ entry: Entry) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: file.bytes[entry.bytes])
  }

  /// The contents of a small entry, checked.
  func contents(_ entry: Entry, limit: Int) throws(CheckpointError) -> [UInt8] {
    guard entry.byteCount <= limit else {
      throw malformed(entry, "at most \(limit) bytes", "\(entry.byteCount)")
    }
    var result = [UInt8](repeating: 0, count: entry.byteCount)
    if entry.isDeflated {
      let problem = result.withUnsafeMutableBytes { target in
        Deflate.inflate(
          stored(entry), byteCount: entry.byteCount, checksum: entry.checksum, into: target.baseAddress)
      }
      if let problem { throw malformed(entry, "a deflated entry", problem) }
    } else {
      result.withUnsafeMutableBytes { $0.copyMemory(from: stored(entry)) }
      let sum = result.withUnsafeBytes { Deflate.checksum($0) }
      if let expected = entry.checksum, sum != expected {
        throw malformed(entry, "checksum \(String(expected, radix: 16))", String(sum, radix: 16))
      }
    }
    return result
  }

  /// Checks that an entry can be inflated, without keeping it.
  func checkInflation(_ entry: Entry) throws(CheckpointError) {
    guard entry.isDeflated else { return }
    let problem = Deflate.inflate(
      stored(entry), byteCount: entry.byteCount, checksum: entry.checksum, into: nil)
    if let problem { throw malformed(entry, "a deflated entry", problem) }
  }

  /// The contents of an entry as memory: a view of the file, or a copy that is inflated when it is touched.
  func storage(_ entry: Entry) -> (storage: any Storage, byteOffset: Int) {
    if !entry.isDeflated { return (file, entry.bytes.lowerBound) }
    let (size, checksum) = (entry.byteCount, entry.checksum)
    let inflated = LazyCopy(byteCount: size, of: file, bytes: entry.bytes) { source, target in
      let problem = Deflate.inflate(source, byteCount: size, checksum: checksum, into: target.baseAddress)
      // Checked before, so the file has changed since: NaN in every type, which cannot go unnoticed.
      if problem != nil { target.initializeMemory(as: UInt8.self, repeating: 0xFF) }
    }
    return (inflated, 0)
  }

  func malformed(_ entry: Entry, _ expected: String, _ found: String) -> CheckpointError {
    .malformed(file: file.path, place: "entry \(entry.name.oneLine)", expected: expected, found: found)
  }
}
