extension JSONCursor {
  /// Reads a string.
  public mutating func readString(_ expected: String = "a string") throws(Failure) -> String {
    try expect("\"", expected)
    let start = position
    skipPlainText()
    if nextByte == UInt8(ascii: "\"") {
      position += 1
      return String(decoding: bytes[start..<position - 1], as: UTF8.self)
    }
    var text = Array(bytes[start..<position])
    try readRest(into: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Reads a string into `text`, as UTF-8 and in the place of what was there: in a loop, a buffer instead of many
  /// allocations.
  public mutating func readString(_ expected: String = "a string", into text: inout [UInt8]) throws(Failure) {
    try expect("\"", expected)
    text.removeAll(keepingCapacity: true)
    try readRest(into: &text)
  }

  /// Appends what remains of a string, and reads its end.
  private mutating func readRest(into text: inout [UInt8]) throws(Failure) {
    while true {
      let start = position
      skipPlainText()
      text.append(contentsOf: bytes[start..<position])
      switch nextByte {
      case UInt8(ascii: "\""):
        position += 1
        return
      case UInt8(ascii: "\\"):
        position += 1
        try readEscape(into: &text)
      case nil: throw malformed("the end of a string")
      default: throw malformed("a string without control characters")
      }
    }
  }

  /// Passes over what stands in a string for itself.
  private mutating func skipPlainText() {
    while position < bytes.count, bytes[position] >= 0x20, bytes[position] != UInt8(ascii: "\""),
      bytes[position] != UInt8(ascii: "\\")
    {
      position += 1
    }
  }

  /// Reads what follows a backslash.
  private mutating func readEscape(into text: inout [UInt8]) throws(Failure) {
    switch nextByte {
    case let byte? where byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "/"):
      text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      position += 1
      text.append(contentsOf: UTF8.encode(try readScalar()) ?? UTF8.encodedReplacementCharacter)
      return
    default: throw malformed("an escaped character")
    }
    position += 1
  }

  /// Reads what follows `\u`: a code unit of UTF-16 or a pair of surrogates.
  private mutating func readScalar() throws(Failure) -> Unicode.Scalar {
    var value = try readCodeUnit()
    if value & 0xFC00 == 0xD800, bytes[position...].starts(with: "\\u".utf8) {
      position += 2
      let low = try readCodeUnit()
      guard low & 0xFC00 == 0xDC00 else { throw malformed("a pair of surrogates", found: "half of one") }
      value = 0x10000 + (value & 0x3FF) << 10 + low & 0x3FF
    }
    guard let scalar = Unicode.Scalar(value) else { throw malformed("a pair of surrogates", found: "half of one") }
    return scalar
  }

  private mutating func readCodeUnit() throws(Failure) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      let digit: UInt8
      switch nextByte {
      case let byte? where byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case let byte? where byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      case let byte? where byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      default: throw malformed("a hexadecimal digit")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
