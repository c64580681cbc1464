extension JSONCursor {
  /// Reads a value of any kind into a tree, for small documents and the small parts of large ones.
  /// - Throws: also where an object has two members of one name, and where a number is beyond the range of `Double`.
  public mutating func readValue() throws(Failure) -> JSONValue {
    switch peek() {
    case UInt8(ascii: "{"):
      try beginObject()
      var members: [String: JSONValue] = [:]
      while let name = try nextName() {
        if members[name] != nil { throw malformed("each member once", found: "\"\(name.oneLine)\" twice") }
        members[name] = try readValue()
      }
      return .object(members)
    case UInt8(ascii: "["):
      try beginArray()
      var elements: [JSONValue] = []
      while try nextElement() { elements.append(try readValue()) }
      return .array(elements)
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"): return try readWord("true", .bool(true))
    case UInt8(ascii: "f"): return try readWord("false", .bool(false))
    case UInt8(ascii: "n"): return try readWord("null", .null)
    default:
      if let value = readNonFinite() { return .number(value) }
      let start = position
      let (text, isInteger) = try readNumber()
      if isInteger, let integer = Int(text) { return .integer(integer) }
      if let double = Double(text), double.isFinite { return .number(double) }
      position = start
      throw malformed("a number that fits 64 bits", found: text)
    }
  }

  /// Reads the one value of a document, up to the end of the text.
  public mutating func readDocument() throws(Failure) -> JSONValue {
    let value = try readValue()
    try finish()
    return value
  }

  /// Passes over a value of any kind without keeping it.
  public mutating func skipValue() throws(Failure) {
    var scratch: [UInt8] = []
    try skipValue(&scratch)
  }

  private mutating func skipValue(_ scratch: inout [UInt8]) throws(Failure) {
    switch peek() {
    case UInt8(ascii: "{"):
      try beginObject()
      while try nextName(into: &scratch) { try skipValue(&scratch) }
    case UInt8(ascii: "["):
      try beginArray()
      while try nextElement() { try skipValue(&scratch) }
    case UInt8(ascii: "\""): try readString(into: &scratch)
    case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): _ = try readValue()
    default: if readNonFinite() == nil { _ = try readNumber() }
    }
  }

  private mutating func readWord(_ word: String, _ value: JSONValue) throws(Failure) -> JSONValue {
    guard bytes[position...].starts(with: word.utf8) else { throw malformed("a value") }
    position += word.utf8.count
    return value
  }
}
