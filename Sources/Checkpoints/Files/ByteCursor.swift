import TensorCore

/// A place in a file's bytes. Numbers are little-endian; nothing is read beyond the end.
struct ByteCursor {
  let file: String
  /// What the bytes are, for messages.
  let part: String
  private let bytes: UnsafeRawBufferPointer
  private(set) var position: Int

  /// - Parameters:
  ///   - bytes: Memory that must outlive the cursor.
  ///   - position: Where reading starts, not beyond the end.
  init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0, file: String, part: String) {
    precondition((0...bytes.count).contains(position), "cursor: \(position) is outside \(bytes.count) bytes")
    self.bytes = bytes
    self.position = position
    self.file = file
    self.part = part
  }

  /// The number of bytes that follow.
  var remaining: Int { bytes.count - position }

  func malformed(_ expected: String, _ found: String) -> CheckpointError {
    .malformed(file: file, place: "\(part), byte \(position)", expected: expected, found: found)
  }

  /// The next bytes.
  mutating func take(_ count: Int, _ what: String) throws(CheckpointError) -> UnsafeRawBufferPointer {
    guard count >= 0, count <= remaining else { throw malformed("\(what) of \(count) bytes", "\(remaining) bytes") }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func read<Number: FixedWidthInteger>(_: Number.Type, _ what: String) throws(CheckpointError) -> Number {
    Number(littleEndian: try take(MemoryLayout<Number>.size, what).loadUnaligned(as: Number.self))
  }

  /// The number that follows, which stays there.
  func peek<Number: FixedWidthInteger>(_ type: Number.Type) throws(CheckpointError) -> Number {
    var copy = self
    return try copy.read(type, "a number")
  }

  /// An unsigned number that is a size or a position.
  mutating func size<Number: FixedWidthInteger & UnsignedInteger>(
    _ type: Number.Type, _ what: String
  ) throws(CheckpointError) -> Int {
    let number = try read(type, what)
    guard let size = Int(exactly: number) else { throw malformed("\(what) below 2^63", "\(number)") }
    return size
  }

  mutating func text(_ count: Int, _ what: String) throws(CheckpointError) -> String {
    let bytes = try take(count, what)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw malformed("\(what) in UTF-8", "other bytes")
    }
    return text
  }
}
