extension JSONCursor {
  /// Reads a number that has no fraction and no exponent and is in `range`.
  public mutating func readInteger(
    _ expected: String = "an integer", in range: ClosedRange<Int> = .min ... .max
  ) throws(Failure) -> Int {
    guard let byte = peek(), isDigit(byte) || byte == UInt8(ascii: "-") else { throw malformed(expected) }
    let start = position
    let (text, isInteger) = try readNumber()
    if isInteger, let value = Int(text), range.contains(value) { return value }
    position = start
    throw malformed(expected, found: text)
  }

  /// Reads `NaN`, `Infinity` or `-Infinity`, where the dialect has them; nil where none of them comes next.
  mutating func readNonFinite() -> Double? {
    guard dialect == .lenient, let byte = peek(),
      byte == UInt8(ascii: "N") || byte == UInt8(ascii: "I") || byte == UInt8(ascii: "-")
    else { return nil }
    let words: [(StaticString, Double)] = [("NaN", .nan), ("Infinity", .infinity), ("-Infinity", -.infinity)]
    for (word, value) in words
    where word.withUTF8Buffer({ bytes[position...].starts(with: $0) }) {
      position += word.utf8CodeUnitCount
      return value
    }
    return nil
  }

  /// Reads the text of a number.
  mutating func readNumber() throws(Failure) -> (text: String, isInteger: Bool) {
    guard let byte = peek(), isDigit(byte) || byte == UInt8(ascii: "-") else { throw malformed("a value") }
    let start = position
    var isInteger = true
    if byte == UInt8(ascii: "-") { position += 1 }
    if nextByte == UInt8(ascii: "0") { position += 1 } else { try readDigits() }
    if nextByte == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      try readDigits()
    }
    if nextByte == UInt8(ascii: "e") || nextByte == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if nextByte == UInt8(ascii: "+") || nextByte == UInt8(ascii: "-") { position += 1 }
      try readDigits()
    }
    let count = position - start
    // The exact decimal expansion of a double can have more digits, but nobody writes it.
    guard count <= 400 else { throw malformed("a number of at most 400 characters", found: "\(count)") }
    return (String(decoding: bytes[start..<position], as: UTF8.self), isInteger)
  }

  private mutating func readDigits() throws(Failure) {
    guard let byte = nextByte, isDigit(byte) else { throw malformed("a digit") }
    while let byte = nextByte, isDigit(byte) { position += 1 }
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}
