import StrictJSON
import TensorCore

/// Reads the directory at the end of a zip archive and the header before each entry's contents.
struct ZipDirectoryReader {
  private struct Record {
    let name: String
    let flags: UInt16
    let method: UInt16
    let checksum: UInt32
    var compressedByteCount: Int
    var byteCount: Int
    var headerOffset: Int
  }

  private let file: MappedFile

  init(_ file: MappedFile) { self.file = file }

  private func cursor(at position: Int, _ part: String) -> ByteCursor {
    ByteCursor(file.bytes, at: position, file: file.path, part: part)
  }

  private func malformed(_ place: String, _ expected: String, _ found: String) -> CheckpointError {
    .malformed(file: file.path, place: place, expected: expected, found: found)
  }

  mutating func read() throws(CheckpointError) -> [String: ZipArchive.Entry] {
    let directory = try locateDirectory()
    // A record has at least 46 bytes: a number of entries beyond that is a lie.
    guard directory.count <= directory.bytes.count / 46 else {
      throw malformed("archive directory", "at most \(directory.bytes.count / 46) entries", "\(directory.count)")
    }
    var cursor = ByteCursor(
      UnsafeRawBufferPointer(rebasing: file.bytes[..<directory.bytes.upperBound]), at: directory.bytes.lowerBound,
      file: file.path, part: "archive directory")
    var entries: [String: ZipArchive.Entry] = [:]
    var places: [(range: Range<Int>, name: String)] = []
    for _ in 0..<directory.count {
      let record = try record(&cursor)
      if record.name.hasSuffix("/") { continue }
      let (entry, place) = try entry(record, limit: directory.bytes.lowerBound)
      places.append((place, record.name))
      guard entries.updateValue(entry, forKey: record.name) == nil else {
        throw malformed("entry \(record.name.oneLine)", "it once", "it twice")
      }
    }
    places.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    for (previous, next) in zip(places, places.dropFirst()) where next.range.lowerBound < previous.range.upperBound {
      throw malformed("entry \(next.name.oneLine)", "bytes of its own", "bytes shared with \(previous.name.oneLine)")
    }
    return entries
  }

  private func locateDirectory() throws(CheckpointError) -> (bytes: Range<Int>, count: Int) {
    let size = file.byteCount
    var end = size - 22
    // The record is at the end, before a comment of at most 65,535 bytes.
    while end >= max(0, size - 22 - 65_535) {
      let bytes = file.bytes
      if bytes[end] == 0x50, bytes[end + 1] == 0x4B, bytes[end + 2] == 5, bytes[end + 3] == 6,
        Int(bytes[end + 20]) | Int(bytes[end + 21]) << 8 == size - end - 22
      {
        break
      }
      end -= 1
    }
    guard end >= max(0, size - 22 - 65_535) else {
      throw malformed("end", "the directory of a zip archive", "none: the file is not whole")
    }
    var cursor = cursor(at: end + 4, "end of archive directory")
    _ = try cursor.take(6, "disk numbers")
    var count = try cursor.size(UInt16.self, "a count")
    var length = try cursor.size(UInt32.self, "a size")
    var start = try cursor.size(UInt32.self, "an offset")
    var limit = end
    if end >= 20, try self.cursor(at: end - 20, "locator").peek(UInt32.self) == 0x0706_4B50 {
      var locator = self.cursor(at: end - 20 + 8, "64-bit locator")
      let place = try locator.size(UInt64.self, "an offset")
      guard place <= end - 20 - 56 else { throw malformed("64-bit locator", "a place before it", "\(place)") }
      var wide = self.cursor(at: place, "64-bit directory end")
      guard try wide.read(UInt32.self, "a signature") == 0x0606_4B50 else {
        throw malformed("64-bit directory end", "its signature", "another")
      }
      _ = try wide.take(28, "versions and numbers of disks")
      count = try wide.size(UInt64.self, "a count")
      length = try wide.size(UInt64.self, "a size")
      start = try wide.size(UInt64.self, "an offset")
      limit = place
    }
    guard start <= limit, length <= limit - start else {
      throw malformed("archive directory", "a place within \(limit) bytes", "\(length) bytes at \(start)")
    }
    return (start..<start + length, count)
  }

  private func record(_ cursor: inout ByteCursor) throws(CheckpointError) -> Record {
    guard try cursor.read(UInt32.self, "a signature") == 0x0201_4B50 else {
      throw cursor.malformed("an entry's record", "none")
    }
    _ = try cursor.take(4, "versions")
    let flags = try cursor.read(UInt16.self, "flags")
    let method = try cursor.read(UInt16.self, "a method")
    _ = try cursor.take(4, "a time")
    let checksum = try cursor.read(UInt32.self, "a checksum")
    let compressed = try cursor.size(UInt32.self, "a size")
    let size = try cursor.size(UInt32.self, "a size")
    let nameLength = try cursor.size(UInt16.self, "a length")
    let extraLength = try cursor.size(UInt16.self, "a length")
    let commentLength = try cursor.size(UInt16.self, "a length")
    _ = try cursor.take(8, "attributes")
    let offset = try cursor.size(UInt32.self, "an offset")
    let name = try cursor.text(nameLength, "a name")
    let extra = try cursor.take(extraLength, "extra fields")
    _ = try cursor.take(commentLength, "a comment")
    var record = Record(
      name: name, flags: flags, method: method, checksum: checksum, compressedByteCount: compressed, byteCount: size,
      headerOffset: offset)
    try widen(&record, ByteCursor(extra, file: file.path, part: "extra fields of \(name.oneLine)"))
    return record
  }

  /// Takes the numbers that do not fit 32 bits from the extra field of type 1.
  private func widen(_ record: inout Record, _ fields: ByteCursor) throws(CheckpointError) {
    var fields = fields
    while fields.remaining >= 4 {
      let type = try fields.read(UInt16.self, "a type")
      let length = try fields.size(UInt16.self, "a length")
      let bytes = try fields.take(length, "a field")
      guard type == 1 else { continue }
      var field = ByteCursor(bytes, file: file.path, part: fields.part)
      let all = Int(UInt32.max)
      if record.byteCount == all { record.byteCount = try field.size(UInt64.self, "a size") }
      if record.compressedByteCount == all { record.compressedByteCount = try field.size(UInt64.self, "a size") }
      if record.headerOffset == all { record.headerOffset = try field.size(UInt64.self, "an offset") }
    }
  }

  /// Checks a record against the header before its contents.
  private func entry(_ record: Record, limit: Int) throws(CheckpointError) -> (ZipArchive.Entry, Range<Int>) {
    let place = "entry \(record.name.oneLine)"
    let parts = record.name.split(separator: "/", omittingEmptySubsequences: false)
    guard !record.name.isEmpty, !record.name.hasPrefix("/"), !parts.contains(".."),
      !record.name.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "\\") }), !parts[0].hasSuffix(":")
    else { throw malformed(place, "a name inside the archive", "a path that leads out of it") }
    guard record.flags & 1 == 0 else { throw malformed(place, "a plain entry", "an encrypted one") }
    guard record.method == 0 || record.method == 8 else {
      throw malformed(place, "a stored or deflated entry", "compression method \(record.method)")
    }
    guard record.headerOffset <= limit - 30 else {
      throw malformed(place, "a header within \(limit) bytes", "byte \(record.headerOffset)")
    }
    var header = cursor(at: record.headerOffset, place)
    guard try header.read(UInt32.self, "a signature") == 0x0403_4B50 else {
      throw malformed(place, "an entry's header", "none")
    }
    _ = try header.take(4, "version and flags")
    guard try header.read(UInt16.self, "a method") == record.method else {
      throw malformed(place, "the method that the directory says", "another")
    }
    _ = try header.take(16, "time, checksum and sizes")
    let nameLength = try header.size(UInt16.self, "a length")
    let extraLength = try header.size(UInt16.self, "a length")
    guard try header.text(nameLength, "a name") == record.name else {
      throw malformed(place, "the name that the directory says", "another")
    }
    _ = try header.take(extraLength, "extra fields")
    guard header.position <= limit, record.compressedByteCount <= limit - header.position else {
      throw malformed(place, "contents within \(limit) bytes", "\(record.compressedByteCount) bytes")
    }
    let bytes = header.position..<header.position + record.compressedByteCount
    if record.method == 0 {
      guard record.byteCount == bytes.count else {
        throw malformed(place, "\(bytes.count) bytes, as many as are stored", "\(record.byteCount)")
      }
    } else {
      guard record.byteCount / Deflate.largestRatio <= bytes.count else {
        throw malformed(
          place, "at most \(Deflate.largestRatio) times its \(bytes.count) deflated bytes", "\(record.byteCount)")
      }
    }
    let entry = ZipArchive.Entry(
      name: record.name, isDeflated: record.method == 8, bytes: bytes, byteCount: record.byteCount,
      checksum: record.checksum == 0 ? nil : record.checksum)
    return (entry, record.headerOffset..<bytes.upperBound)
  }
}
