/// Reads JSON from the front, value by value, without building a tree, so that what a hostile file makes us allocate is
/// what its reader keeps. Strict (RFC 8259): no comments, no trailing commas, no duplicate members, valid UTF-8.
struct JSONCursor {
  /// The deepest nesting that is followed.
  static let maximumDepth = 64

  private let bytes: [UInt8]
  private let file: String
  /// What the bytes are, for messages: `header`, `text`.
  private let part: String
  private(set) var position = 0
  private var depth = 0

  init(_ bytes: [UInt8], file: String, part: String) {
    self.bytes = bytes
    self.file = file
    self.part = part
  }

  /// An error at the present position.
  func malformed(_ expected: String, _ found: String? = nil) -> CheckpointError {
    .malformed(
      file: file, place: "\(part), byte \(position)", expected: expected, found: found ?? describeNext())
  }

  private func describeNext() -> String {
    guard position < bytes.count else { return "the end" }
    let byte = bytes[position]
    return byte > 0x20 && byte < 0x7F ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
  }

  /// The next byte that is not white space, which stays unread.
  mutating func peek() -> UInt8? {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return bytes[position]
      }
    }
    return nil
  }

  mutating func expect(_ character: Unicode.Scalar, _ expected: String) throws(CheckpointError) {
    guard peek() == UInt8(ascii: character) else { throw malformed(expected) }
    position += 1
  }

  /// Checks that nothing but white space follows.
  mutating func expectEnd() throws(CheckpointError) {
    if peek() != nil { throw malformed("the end") }
  }

  /// Reads an object; `member` must read exactly the value of the member it is told.
  /// Duplicates are the caller's to find, who keeps the names anyway.
  mutating func object(
    _ expected: String = "an object", member: (inout JSONCursor, String) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try expect("{", expected)
    try enter()
    if peek() == UInt8(ascii: "}") {
      position += 1
    } else {
      repeat {
        let name = try string("a member's name")
        try expect(":", "':'")
        try member(&self, name)
      } while try continues(until: "}")
    }
    depth -= 1
  }

  /// Reads an array; `element` must read exactly one value.
  mutating func array(
    _ expected: String = "an array", element: (inout JSONCursor) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try expect("[", expected)
    try enter()
    if peek() == UInt8(ascii: "]") {
      position += 1
    } else {
      repeat { try element(&self) } while try continues(until: "]")
    }
    depth -= 1
  }

  private mutating func enter() throws(CheckpointError) {
    depth += 1
    if depth > JSONCursor.maximumDepth { throw malformed("at most \(JSONCursor.maximumDepth) nested values", "more") }
  }

  private mutating func continues(until end: Unicode.Scalar) throws(CheckpointError) -> Bool {
    let next = peek()
    guard next == UInt8(ascii: ",") || next == UInt8(ascii: end) else { throw malformed("',' or '\(end)'") }
    position += 1
    return next == UInt8(ascii: ",")
  }

  /// Reads over one value of any kind.
  mutating func skipValue() throws(CheckpointError) {
    switch peek() {
    case UInt8(ascii: "{"): try object { cursor, _ throws(CheckpointError) in try cursor.skipValue() }
    case UInt8(ascii: "["): try array { cursor throws(CheckpointError) in try cursor.skipValue() }
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): _ = try word()
    default: _ = try number()
    }
  }

  /// Reads `true`, `false` or `null` (nil).
  mutating func word() throws(CheckpointError) -> Bool? {
    _ = peek()
    for (text, value) in [("true", true), ("false", false), ("null", nil)] as [(StaticString, Bool?)] {
      let end = position + text.utf8CodeUnitCount
      let matches = text.withUTF8Buffer { end <= bytes.count && bytes[position..<end].elementsEqual($0) }
      if matches {
        position = end
        return value
      }
    }
    throw malformed("a value")
  }

  /// Reads a string.
  mutating func string(_ expected: String = "a string") throws(CheckpointError) -> String {
    try expect("\"", expected)
    let start = position
    var unescaped: [UInt8]?
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        let text =
          if let unescaped { String(validating: unescaped, as: UTF8.self) } else {
            String(validating: bytes[start..<position], as: UTF8.self)
          }
        guard let text else { throw malformed("valid UTF-8 in a string", "other bytes") }
        position += 1
        return text
      }
      if byte < 0x20 { throw malformed("a string without control characters") }
      if byte == UInt8(ascii: "\\") {
        var text = unescaped ?? Array(bytes[start..<position])
        unescaped = nil
        try escape(into: &text)
        unescaped = text
      } else {
        unescaped?.append(byte)
        position += 1
      }
    }
    throw malformed("the end of a string")
  }

  private mutating func escape(into text: inout [UInt8]) throws(CheckpointError) {
    position += 1
    guard position < bytes.count else { throw malformed("an escaped character") }
    let byte = bytes[position]
    let plain: UInt8? =
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte
      case UInt8(ascii: "b"): 0x08
      case UInt8(ascii: "f"): 0x0C
      case UInt8(ascii: "n"): 0x0A
      case UInt8(ascii: "r"): 0x0D
      case UInt8(ascii: "t"): 0x09
      default: nil
      }
    if let plain {
      text.append(plain)
      position += 1
      return
    }
    guard byte == UInt8(ascii: "u") else { throw malformed("an escaped character") }
    position += 1
    var units = [try hexadecimal()]
    if UTF16.isLeadSurrogate(units[0]), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
      bytes[position + 1] == UInt8(ascii: "u")
    {
      position += 2
      units.append(try hexadecimal())
    }
    guard let character = String(validating: units, as: UTF16.self) else {
      throw malformed("a pair of surrogates", "half of one")
    }
    text.append(contentsOf: character.utf8)
  }

  private mutating func hexadecimal() throws(CheckpointError) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard position < bytes.count, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
        throw malformed("a hexadecimal digit")
      }
      value = value << 4 | UInt16(digit)
      position += 1
    }
    return value
  }
}

// MARK: Numbers

extension JSONCursor {
  /// The text of a number.
  struct Number {
    let text: String
    let isInteger: Bool
  }

  /// Reads a number.
  mutating func number() throws(CheckpointError) -> Number {
    _ = peek()
    let start = position
    var isInteger = true
    if next(is: "-") { position += 1 }
    if next(is: "0") { position += 1 } else { try digits() }
    if next(is: ".") {
      isInteger = false
      position += 1
      try digits()
    }
    if next(is: "e") || next(is: "E") {
      isInteger = false
      position += 1
      if next(is: "+") || next(is: "-") { position += 1 }
      try digits()
    }
    guard position - start <= 400 else { throw malformed("a number of at most 400 characters", "\(position - start)") }
    return Number(text: String(decoding: bytes[start..<position], as: UTF8.self), isInteger: isInteger)
  }

  /// Reads an integer that is not negative.
  mutating func size(_ expected: String) throws(CheckpointError) -> Int {
    guard let byte = peek(), byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { throw malformed(expected) }
    let number = try number()
    guard number.isInteger, let value = Int(number.text) else { throw malformed(expected, number.text.oneLine) }
    return value
  }

  private func next(is character: Unicode.Scalar) -> Bool {
    position < bytes.count && bytes[position] == UInt8(ascii: character)
  }

  private mutating func digits() throws(CheckpointError) {
    let start = position
    while position < bytes.count, bytes[position] >= UInt8(ascii: "0"), bytes[position] <= UInt8(ascii: "9") {
      position += 1
    }
    if position == start { throw malformed(start == 0 ? "a value" : "a digit") }
  }
}
