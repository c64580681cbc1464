/// A strict pull parser over the bytes of a JSON document.
///
/// `tokenizer.json` holds 128,000 tokens and 280,000 merges; building a tree of them takes seconds in general
/// JSON libraries. This one hands strings out as bytes in a buffer the caller reuses.
///
/// An object is read with ``beginObject(_:)`` and then ``nextKey(into:)`` until it answers `false`, each key
/// followed by exactly one read of its value; an array with ``beginArray(_:)`` and ``nextElement()``.
struct JSONScanner {
  let file: String
  /// The offset of the next byte to read; may be set back to an offset seen before, to read a value again.
  var position = 0

  private let bytes: [UInt8]
  /// Whether the next member or element is the first of its container, and so has no comma before it.
  private var isFirst = false

  /// Nesting beyond this is refused: the parser is recursive and the stack is not endless.
  private static let deepest = 64

  init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
    self.bytes = bytes
    self.file = file
    if let offset = firstInvalidUTF8(in: bytes) {
      throw .malformed("invalid UTF-8", in: file, expected: "UTF-8 text", found: "a wrong byte at offset \(offset)")
    }
  }

  // MARK: Containers

  mutating func beginObject(_ what: String) throws(TokenizerError) {
    try begin(UInt8(ascii: "{"), "an object for \(what)")
  }

  mutating func beginArray(_ what: String) throws(TokenizerError) {
    try begin(UInt8(ascii: "["), "an array for \(what)")
  }

  /// Reads the next key of the current object into `key`, or the object's end: then the answer is `false`.
  mutating func nextKey(into key: inout [UInt8]) throws(TokenizerError) -> Bool {
    guard try advances(before: UInt8(ascii: "}")) else { return false }
    try readString(into: &key)
    skipSpace()
    guard peek() == UInt8(ascii: ":") else { throw problem("a colon after a key") }
    position += 1
    return true
  }

  mutating func nextKey() throws(TokenizerError) -> String? {
    var key: [UInt8] = []
    return try nextKey(into: &key) ? String(decoding: key, as: UTF8.self) : nil
  }

  /// Moves to the next element of the current array; `false` at its end.
  mutating func nextElement() throws(TokenizerError) -> Bool { try advances(before: UInt8(ascii: "]")) }

  /// Checks that nothing but white space follows.
  mutating func finish() throws(TokenizerError) {
    skipSpace()
    guard position == bytes.count else { throw problem("the end of the document") }
  }

  private mutating func begin(_ opening: UInt8, _ what: String) throws(TokenizerError) {
    skipSpace()
    guard peek() == opening else { throw problem(what) }
    position += 1
    isFirst = true
  }

  private mutating func advances(before closing: UInt8) throws(TokenizerError) -> Bool {
    skipSpace()
    let first = isFirst
    isFirst = false
    if peek() == closing {
      position += 1
      return false
    }
    if !first {
      guard peek() == UInt8(ascii: ",") else { throw problem("a comma or the end of the list") }
      position += 1
      skipSpace()
    }
    return true
  }

  // MARK: Values

  /// The kind of the next value: its first byte, or nil at the end of the document.
  mutating func nextByte() -> UInt8? {
    skipSpace()
    return peek()
  }

  /// Reads a string's bytes, unescaped, into `result` (replacing what was there).
  mutating func readString(into result: inout [UInt8]) throws(TokenizerError) {
    result.removeAll(keepingCapacity: true)
    skipSpace()
    guard peek() == UInt8(ascii: "\"") else { throw problem("a string") }
    position += 1
    while true {
      let start = position
      while position < bytes.count, bytes[position] >= 0x20, bytes[position] != UInt8(ascii: "\""),
        bytes[position] != UInt8(ascii: "\\")
      {
        position += 1
      }
      result.append(contentsOf: bytes[start..<position])
      switch peek() {
      case UInt8(ascii: "\""):
        position += 1
        return
      case UInt8(ascii: "\\"): try readEscape(into: &result)
      default: throw problem("the end of a string")
      }
    }
  }

  mutating func readString() throws(TokenizerError) -> String {
    var result: [UInt8] = []
    try readString(into: &result)
    return String(decoding: result, as: UTF8.self)
  }

  /// Reads a number that has no fraction and no exponent and fits `Int`.
  mutating func readInteger(_ what: String) throws(TokenizerError) -> Int {
    skipSpace()
    let start = position
    if let byte = peek(), byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte),
      case .integer(let value) = try readNumber()
    {
      return value
    }
    position = start
    throw problem("an integer for \(what)")
  }

  /// Reads any value into a tree. For the small parts of a document.
  mutating func readValue(depth: Int = 0) throws(TokenizerError) -> JSONValue {
    guard depth < Self.deepest else { throw problem("at most \(Self.deepest) levels of nesting") }
    switch nextByte() {
    case UInt8(ascii: "{"):
      try beginObject("a value")
      var members: [String: JSONValue] = [:]
      while let key = try nextKey() {
        guard members.updateValue(try readValue(depth: depth + 1), forKey: key) == nil else {
          throw .malformed("a key occurs twice", in: file, expected: "each key once", found: quoted(key))
        }
      }
      return .object(members)
    case UInt8(ascii: "["):
      try beginArray("a value")
      var elements: [JSONValue] = []
      while try nextElement() { elements.append(try readValue(depth: depth + 1)) }
      return .array(elements)
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"): return try readWord("true", .bool(true))
    case UInt8(ascii: "f"): return try readWord("false", .bool(false))
    case UInt8(ascii: "n"): return try readWord("null", .null)
    default: return try readNumber()
    }
  }

  /// Passes over any value without keeping it.
  mutating func skipValue(depth: Int = 0) throws(TokenizerError) {
    guard depth < Self.deepest else { throw problem("at most \(Self.deepest) levels of nesting") }
    var scratch: [UInt8] = []
    switch nextByte() {
    case UInt8(ascii: "{"):
      try beginObject("a value")
      while try nextKey(into: &scratch) { try skipValue(depth: depth + 1) }
    case UInt8(ascii: "["):
      try beginArray("a value")
      while try nextElement() { try skipValue(depth: depth + 1) }
    case UInt8(ascii: "\""): try readString(into: &scratch)
    default: _ = try readValue(depth: depth)
    }
  }

  // MARK: Parts

  private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while position < bytes.count {
      let byte = bytes[position]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      position += 1
    }
  }

  private mutating func readWord(_ word: String, _ value: JSONValue) throws(TokenizerError) -> JSONValue {
    guard bytes[position...].starts(with: word.utf8) else { throw problem("a value") }
    position += word.utf8.count
    return value
  }

  private mutating func readNumber() throws(TokenizerError) -> JSONValue {
    skipSpace()
    let start = position
    func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 0x30 && $0 <= 0x39 } ?? false }
    if peek() == UInt8(ascii: "-") { position += 1 }
    guard isDigit(peek()) else {
      position = start
      throw problem("a value")
    }
    let leading = position
    while isDigit(peek()) { position += 1 }
    guard bytes[leading] != UInt8(ascii: "0") || position == leading + 1 else { throw problem("no leading zero") }
    var isInteger = true
    if peek() == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      guard isDigit(peek()) else { throw problem("a digit after the decimal point") }
      while isDigit(peek()) { position += 1 }
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { position += 1 }
      guard isDigit(peek()) else { throw problem("a digit in the exponent") }
      while isDigit(peek()) { position += 1 }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    return .number(Double(text) ?? .infinity)
  }

  private mutating func readEscape(into result: inout [UInt8]) throws(TokenizerError) {
    position += 1
    let escape = peek()
    position += 1
    switch escape {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(bytes[position - 1])
    case UInt8(ascii: "b"): result.append(0x08)
    case UInt8(ascii: "f"): result.append(0x0C)
    case UInt8(ascii: "n"): result.append(0x0A)
    case UInt8(ascii: "r"): result.append(0x0D)
    case UInt8(ascii: "t"): result.append(0x09)
    case UInt8(ascii: "u"):
      var value = try readHexadecimal()
      if value & 0xFC00 == 0xD800, bytes[position...].starts(with: "\\u".utf8) {
        position += 2
        let low = try readHexadecimal()
        guard low & 0xFC00 == 0xDC00 else { throw problem("the second half of a surrogate pair") }
        value = 0x10000 + (value & 0x3FF) << 10 + low & 0x3FF
      }
      guard let scalar = Unicode.Scalar(value) else { throw problem("a surrogate pair") }
      result.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    default:
      position = min(position - 1, bytes.count)
      throw problem("an escape sequence")
    }
  }

  private mutating func readHexadecimal() throws(TokenizerError) -> UInt32 {
    guard bytes.count - position >= 4 else { throw problem("four hexadecimal digits") }
    var value: UInt32 = 0
    for byte in bytes[position..<position + 4] {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - 0x30)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - 0x37)
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - 0x57)
      default: throw problem("four hexadecimal digits")
      }
    }
    position += 4
    return value
  }

  /// The error for what is at the current position, in place of what should be there.
  func problem(_ expected: String) -> TokenizerError {
    let found: String
    if position < bytes.count {
      let excerpt = bytes[position..<min(position + 24, bytes.count)]
      found = "\(quoted(String(decoding: excerpt, as: UTF8.self))) at offset \(position)"
    } else {
      found = "the end of the file"
    }
    return .malformed("malformed JSON", in: file, expected: expected, found: found)
  }
}

/// The offset of the first byte that is not part of valid UTF-8, or nil.
func firstInvalidUTF8(in bytes: [UInt8]) -> Int? {
  do throws(UTF8.ValidationError) {
    _ = try UTF8Span(validating: bytes.span)
    return nil
  } catch {
    return error.byteOffsets.lowerBound
  }
}
