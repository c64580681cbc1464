import StrictJSON
import Testing

@Suite struct JSONCursorTests {
  private func cursor(_ text: String) throws -> JSONCursor<JSONError> { try JSONCursor(Array(text.utf8)) }

  @Test func `members and elements are read one by one`() throws {
    var cursor = try cursor(#" { "a" : [ 1 , -2 ] , "\u0062" : { } , "c" : "d\n" , "e" : [ ] } "#)
    try cursor.beginObject()
    #expect(try cursor.nextName() == "a")
    try cursor.beginArray()
    var numbers: [Int] = []
    while try cursor.nextElement() { numbers.append(try cursor.readInteger()) }
    #expect(numbers == [1, -2])
    var bytes = Array("a longer text".utf8)
    #expect(try cursor.nextName(into: &bytes) && bytes == Array("b".utf8))
    try cursor.beginObject()
    #expect(try cursor.nextName() == nil)
    #expect(try cursor.nextName() == "c")
    #expect(cursor.peek() == UInt8(ascii: "\""))
    try cursor.readString(into: &bytes)
    #expect(bytes == Array("d\n".utf8))
    #expect(try cursor.nextName() == "e")
    #expect(try cursor.readValue() == .array([]))
    #expect(try !cursor.nextName(into: &bytes))
    try cursor.finish()
  }

  @Test func `a lenient text may have a byte order mark and numbers that are none`() throws {
    let text = Array("\u{FEFF} {\"a\": [NaN, Infinity, -Infinity, -1.5], \"b\": NaN}".utf8)
    var cursor = try JSONCursor(text, dialect: .lenient)
    let value = try cursor.readDocument()
    let numbers = try #require(value["a"].array)
    #expect(numbers.map(\.summary) == ["NaN", "Infinity", "-Infinity", "-1.5"])
    #expect(numbers.map(\.double) == [nil, nil, nil, -1.5] && numbers.map(\.int) == [nil, nil, nil, nil])
    cursor = try JSONCursor(text, dialect: .lenient)
    try cursor.skipValue()
    try cursor.finish()
    #expect(cursor.position == text.count)
  }

  @Test(arguments: ["Nan", "NAN", "nan", "Infinit", "+Infinity", "-NaN", "inf", "1Infinity", "\u{FEFF}\u{FEFF}1"])
  func `what Python does not write either is refused in a lenient text`(text: String) throws {
    var cursor = try JSONCursor(Array(text.utf8), dialect: .lenient)
    #expect(throws: JSONError.self) { try cursor.readDocument() }
    var passed = try JSONCursor(Array(text.utf8), dialect: .lenient)
    #expect(throws: JSONError.self) {
      try passed.skipValue()
      try passed.finish()
    }
  }

  @Test func `values are passed over, whatever they are`() throws {
    let value = #"{"a":[1,{"a":"\ud83d\ude00"},"]}",[]],"b":-1.5e999,"c":[true,false,null],"d":{}}"#
    var cursor = try cursor("[\(value),2]")
    try cursor.beginArray()
    #expect(try cursor.nextElement())
    try cursor.skipValue()
    #expect(cursor.position == value.utf8.count + 1)
    #expect(try cursor.nextElement() && cursor.readInteger() == 2)
    #expect(try !cursor.nextElement())
    try cursor.finish()
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "[\"\\x\"]", "[\"\\ud800\"]", "[\"\n\"]", "[tru]", "[01]", "[1.]", "[",
    "\"a", "[-",
  ])
  func `what is passed over is read as strictly`(text: String) throws {
    var cursor = try cursor(text)
    #expect(throws: JSONError.self) { try cursor.skipValue() }
  }

  @Test(arguments: ["[", "{\"a\":"])
  func `values within values a hundred thousand deep are refused`(opening: String) throws {
    var cursor = try cursor(String(repeating: opening, count: 100_000))
    #expect(throws: JSONError.self) { try cursor.skipValue() }
  }

  @Test func `a copy reads the same values again`() throws {
    var cursor = try cursor(#"{"a":[[1],2],"b":3}"#)
    try cursor.beginObject()
    _ = try cursor.nextName()
    var copy = cursor
    try cursor.skipValue()
    #expect(try cursor.nextName() == "b")
    #expect(try copy.readValue() == .array([.array([.integer(1)]), .integer(2)]))
    #expect(try copy.nextName() == "b" && copy.readInteger() == 3 && copy.nextName() == nil)
    try copy.finish()
  }

  @Test(arguments: [
    ("1.0", "1.0"), ("1e3", "1e3"), ("-1", "-1"), ("11", "11"), ("9223372036854775808", "9223372036854775808"),
    ("\"1\"", "'\"'"), ("null", "'n'"), ("[1]", "'['"),
  ])
  func `a number that is no integer or out of range is refused with its text`(text: String, found: String) throws {
    var cursor = try cursor(" \(text)")
    let error = try #require(throws: JSONError.self) { try cursor.readInteger("a digit count", in: 0...10) }
    #expect(error == JSONError(offset: 1, expected: "a digit count", found: found))
  }

  @Test func `numbers have at most 400 characters`() throws {
    let digits = String(repeating: "1", count: 400)
    var cursor = try cursor("[0.\(digits.dropLast(2)), 1\(digits)]")
    try cursor.beginArray()
    #expect(try cursor.nextElement() && cursor.readValue().double.map { $0 > 0.1 && $0 < 0.2 } == true)
    #expect(try cursor.nextElement())
    let error = try #require(throws: JSONError.self) { try cursor.skipValue() }
    #expect(error.expected.contains("400") && error.found == "401")
  }

  @Test(
    arguments: [
      ([0x22, 0xFF, 0x22], 1), ([0x22, 0xC3, 0x28, 0x22], 1), ([0x22, 0x61, 0xC0, 0x80, 0x22], 2),
      ([0x22, 0xED, 0xA0, 0x80, 0x22], 1), ([0x31, 0xE2, 0x82], 1),
    ] as [([UInt8], Int)])
  func `text that is not UTF-8 is refused at the first wrong byte`(bytes: [UInt8], offset: Int) throws {
    let error = try #require(throws: JSONError.self) { try JSONCursor(bytes) }
    #expect(error == JSONError(offset: offset, expected: "valid UTF-8", found: "byte \(bytes[offset])"))
    #expect(firstInvalidUTF8(in: bytes) == offset && firstInvalidUTF8(in: Array("é".utf8)) == nil)
  }

  @Test func `errors are made by the reader of the text`() throws {
    struct Refusal: Error, Equatable {
      let message: String
    }
    var cursor = try JSONCursor(Array("[7".utf8)) { Refusal(message: "header, \($0)") }
    try cursor.beginArray("a list")
    _ = try cursor.nextElement()
    #expect(cursor.malformed("a name") == Refusal(message: "header, byte 1: expected a name, found '7'"))
    #expect(cursor.malformed("one", found: "two") == Refusal(message: "header, byte 1: expected one, found two"))
    _ = try cursor.readInteger()
    let error = try #require(throws: Refusal.self) { try cursor.nextElement() }
    #expect(error.message == "header, byte 2: expected ',' or ']', found the end")
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func `mutated text is read or refused, never worse`(seed: UInt64) {
    var state = seed
    func random(below limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    let original = Array(#"{"a":[1,-2.5e3,"\ud83d\ude00é\n",true,null],"b":{"c":false,"d":[[{}]]}}"#.utf8)
    let tokens = Array("{}[]:,\"\\u0-.e+tfn \u{E9}".utf8)
    var refused = 0
    for _ in 0..<500 {
      var bytes = original
      for _ in 0...random(below: 3) {
        let position = random(below: bytes.count)
        switch random(below: 3) {
        case 0: bytes[position] = tokens[random(below: tokens.count)]
        case 1: bytes.remove(at: position)
        default: bytes.insert(tokens[random(below: tokens.count)], at: position)
        }
      }
      do {
        var cursor = try JSONCursor(bytes)
        var copy = cursor
        _ = try cursor.readDocument()
        try copy.skipValue()
        try copy.finish()
      } catch { refused += 1 }
    }
    #expect(refused > 250 && refused < 500)
  }
}
