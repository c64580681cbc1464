/// Reads a JSON text from the front, value by value and without building a tree: what a hostile file makes its reader
/// allocate is what the reader keeps. Strict (RFC 8259): valid UTF-8, no comments, no trailing commas, limited depth; for
/// configurations a little less so (`JSONDialect.lenient`).
///
/// An object is read with ``beginObject(_:)`` and then ``nextName()`` until it answers nil, each name followed by
/// exactly one read of its value; an array with ``beginArray(_:)`` and ``nextElement()``. Names that occur twice are the
/// caller's to find, who keeps them anyway; ``readValue()`` finds them. A copy of a cursor reads the same values again.
///
/// The errors are the caller's own: `failure` makes them, and knows what the text is and which file it came from.
public struct JSONCursor<Failure: Error> {
  /// How many bytes were read.
  public internal(set) var position = 0

  let bytes: [UInt8]
  let dialect: JSONDialect
  private let failure: (JSONError) -> Failure
  /// How many containers have begun and not ended.
  private var depth = 0
  /// Whether the next member or element is the first of its container, and so has no comma before it.
  private var isFirst = false

  /// A cursor before the first value of a text.
  /// - Throws: where the text is not valid UTF-8.
  public init(
    _ bytes: [UInt8], dialect: JSONDialect = .strict, failure: @escaping (JSONError) -> Failure
  ) throws(Failure) {
    self.bytes = bytes
    self.dialect = dialect
    self.failure = failure
    position = dialect.markCount(bytes)
    if let offset = firstInvalidUTF8(in: bytes) {
      throw failure(JSONError(offset: offset, expected: "valid UTF-8", found: "byte \(bytes[offset])"))
    }
  }

  /// The error for what comes next in the place of what should.
  /// - Parameters:
  ///   - expected: what should be here.
  ///   - found: what is here, in one line; by default the next byte.
  public func malformed(_ expected: String, found: String? = nil) -> Failure {
    failure(JSONError(offset: position, expected: expected, found: found ?? nextByte.map(describe)))
  }

  private func describe(_ byte: UInt8) -> String {
    byte > 0x20 && byte < 0x7F ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
  }

  /// The next byte, which may be white space and stays unread; nil at the end.
  @inline(__always) var nextByte: UInt8? { position < bytes.count ? bytes[position] : nil }

  /// The first byte of what comes next, white space left out, which stays unread; nil at the end.
  public mutating func peek() -> UInt8? {
    while position < bytes.count {
      let byte = bytes[position]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte }
      position += 1
    }
    return nil
  }

  /// Checks that nothing but white space follows.
  public mutating func finish() throws(Failure) {
    if peek() != nil { throw malformed("the end") }
  }

  @inline(__always)
  mutating func expect(_ character: Unicode.Scalar, _ expected: String) throws(Failure) {
    guard peek() == UInt8(ascii: character) else { throw malformed(expected) }
    position += 1
  }
}

extension JSONCursor where Failure == JSONError {
  /// A cursor before the first value of a text.
  /// - Throws: where the text is not valid UTF-8.
  public init(_ bytes: [UInt8], dialect: JSONDialect = .strict) throws(JSONError) {
    try self.init(bytes, dialect: dialect) { $0 }
  }
}

// MARK: Containers

extension JSONCursor {
  /// Begins an object.
  public mutating func beginObject(_ expected: String = "an object") throws(Failure) { try begin("{", expected) }

  /// Begins an array.
  public mutating func beginArray(_ expected: String = "an array") throws(Failure) { try begin("[", expected) }

  /// Reads the name of the current object's next member, or the object's end: then the answer is nil.
  public mutating func nextName() throws(Failure) -> String? {
    guard try advance(until: "}") else { return nil }
    let name = try readString("a member's name")
    try expect(":", "':'")
    return name
  }

  /// Reads the name of the current object's next member into `name`, as UTF-8 and in the place of what was there, or
  /// the object's end: then the answer is `false`.
  public mutating func nextName(into name: inout [UInt8]) throws(Failure) -> Bool {
    guard try advance(until: "}") else { return false }
    try readString("a member's name", into: &name)
    try expect(":", "':'")
    return true
  }

  /// Moves to the next element of the current array; `false` at its end.
  public mutating func nextElement() throws(Failure) -> Bool { try advance(until: "]") }

  private mutating func begin(_ opening: Unicode.Scalar, _ expected: String) throws(Failure) {
    try expect(opening, expected)
    depth += 1
    if depth > JSONValue.maximumDepth {
      throw malformed("at most \(JSONValue.maximumDepth) nested values", found: "more")
    }
    isFirst = true
  }

  private mutating func advance(until end: Unicode.Scalar) throws(Failure) -> Bool {
    let first = isFirst
    isFirst = false
    let next = peek()
    if next == UInt8(ascii: end) {
      position += 1
      depth -= 1
      return false
    }
    if first { return true }
    guard next == UInt8(ascii: ",") else { throw malformed("',' or '\(end)'") }
    position += 1
    return true
  }
}
