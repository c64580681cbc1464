import StrictJSON
import Testing

@Suite struct JSONValueTests {
  private func parse(_ text: String) throws -> JSONValue {
    var cursor = try JSONCursor(Array(text.utf8))
    return try cursor.readDocument()
  }

  @Test(arguments: [
    ("null", JSONValue.null), (" true ", .bool(true)), ("false", .bool(false)), ("0", .integer(0)),
    ("-12", .integer(-12)), ("9223372036854775807", .integer(.max)), ("9223372036854775808", .number(0x1p63)),
    ("1.5", .number(1.5)), ("-0.25e-2", .number(-0.0025)), ("1E3", .number(1000)), ("1e-999", .number(0)),
    ("[]", .array([])), ("[1, [2]]", .array([.integer(1), .array([.integer(2)])])), ("{}", .object([:])),
    ("\t{\"a\" : {\"b\":\"c\"}}\r\n", .object(["a": .object(["b": .string("c")])])),
    ("[{},[],0,{\"a\":[]}]", .array([.object([:]), .array([]), .integer(0), .object(["a": .array([])])])),
  ])
  func `values of every kind are read`(text: String, value: JSONValue) throws { #expect(try parse(text) == value) }

  @Test(arguments: [
    (#""""#, ""), (#""é中😀""#, "é中😀"), (#""a\"\\\/\b\f\n\r\tz""#, "a\"\\/\u{8}\u{C}\n\r\tz"), (#""a\u0000b""#, "a\0b"),
    (#""\u00e9\u4E2d""#, "é中"), (#""\ud83d\ude00""#, "😀"), (#""\uD800\uDC00\udbff\udfff""#, "\u{10000}\u{10FFFF}"),
    (#""\uD7FF\uE000""#, "\u{D7FF}\u{E000}"),
  ])
  func `strings are unescaped`(text: String, value: String) throws {
    #expect(try parse(text).string?.unicodeScalars.elementsEqual(value.unicodeScalars) == true)
  }

  @Test(arguments: [
    ("", "a value", nil, 0), (" ", "a value", nil, 1), ("nul", "a value", "'n'", 0), ("TRUE", "a value", "'T'", 0),
    ("truex", "the end", "'x'", 4), ("1 1", "the end", "'1'", 2), ("\u{FEFF}1", "a value", "byte 239", 0),
    ("01", "the end", "'1'", 1), ("+1", "a value", "'+'", 0), ("1.", "a digit", nil, 2), (".5", "a value", "'.'", 0),
    ("1e", "a digit", nil, 2), ("1e+", "a digit", nil, 3), ("-", "a digit", nil, 1), ("NaN", "a value", "'N'", 0),
    ("Infinity", "a value", "'I'", 0), (" 1e999", "a number that fits 64 bits", "1e999", 1),
    ("[", "a value", nil, 1), ("[1,]", "a value", "']'", 3), ("[1 2]", "',' or ']'", "'2'", 3),
    ("[1}", "',' or ']'", "'}'", 2), ("[1", "',' or ']'", nil, 2), ("[,1]", "a value", "','", 1),
    ("[1]]", "the end", "']'", 3), ("[[1],[2]", "',' or ']'", nil, 8), ("{", "a member's name", nil, 1),
    ("{\"a\"}", "':'", "'}'", 4), ("{\"a\":}", "a value", "'}'", 5), ("{\"a\":1,}", "a member's name", "'}'", 7),
    ("{a:1}", "a member's name", "'a'", 1), ("{'a':1}", "a member's name", "'''", 1),
    ("{1:2}", "a member's name", "'1'", 1), ("{\"a\":1 \"b\":2}", "',' or '}'", "'\"'", 7),
    ("{/**/}", "a member's name", "'/'", 1), ("{\"a\":1,\"a\":2}", "each member once", "\"a\" twice", 11),
    ("{\"a\":1,\"\\u0061\":2}", "each member once", "\"a\" twice", 16),
  ])
  func `text that is not strict JSON is refused at its place`(
    text: String, expected: String, found: String?, offset: Int
  ) throws {
    let error = try #require(throws: JSONError.self) { try parse(text) }
    #expect(error == JSONError(offset: offset, expected: expected, found: found))
  }

  @Test(arguments: [
    (#"""#, "the end of a string", nil, 1), (#""\""#, "the end of a string", nil, 3),
    ("\"\t\"", "a string without control characters", "byte 9", 1),
    ("\"é\u{0}\"", "a string without control characters", "byte 0", 3),
    (#""\x""#, "an escaped character", "'x'", 2), (#""\"#, "an escaped character", nil, 2),
    (#""\u12"#, "a hexadecimal digit", nil, 5), (#""\u12g4""#, "a hexadecimal digit", "'g'", 5),
    (#""\ud800""#, "a pair of surrogates", "half of one", 7), (#""\udc00""#, "a pair of surrogates", "half of one", 7),
    (#""\ud800\u0041""#, "a pair of surrogates", "half of one", 13),
    (#""\ud800\n""#, "a pair of surrogates", "half of one", 7),
    (#""\ud800\u00""#, "a hexadecimal digit", "'\"'", 11),
  ])
  func `strings that are not strict are refused at their place`(
    text: String, expected: String, found: String?, offset: Int
  ) throws {
    let error = try #require(throws: JSONError.self) { try parse(text) }
    #expect(error == JSONError(offset: offset, expected: expected, found: found))
  }

  @Test func `nesting is followed 64 deep and no deeper`() throws {
    let nested = { (depth: Int) in String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
    #expect(throws: Never.self) { try parse(nested(64)) }
    for depth in [65, 1_000_000] {
      let error = try #require(throws: JSONError.self) { try parse(nested(depth)) }
      #expect(error.expected == "at most 64 nested values" && error.offset == 65)
    }
    #expect(throws: JSONError.self) { try parse(String(repeating: "{\"a\":", count: 100_000)) }
    // Containers side by side are not nested.
    #expect(try parse("[" + String(repeating: "[{}],", count: 100) + "0]").array?.count == 101)
  }

  @Test func `no truncation of a document is read`() throws {
    let text = Array(#"{"a":[1,-2.5e3,"\ud83d\ude00é\n",true,null],"b":{"c":false}}"#.utf8)
    for count in 0..<text.count {
      #expect(throws: JSONError.self, "\(count) bytes were accepted") {
        var cursor = try JSONCursor(Array(text[..<count]))
        _ = try cursor.readDocument()
      }
    }
  }

  @Test func `members and elements are looked up`() throws {
    let value = try parse(#"{"a":[1,2.0,"x",true],"n":2.5,"z":null}"#)
    #expect(value["a"].array?.map(\.int) == [1, 2, nil, nil])
    #expect(value["a"].array?.map(\.double) == [1, 2, nil, nil])
    #expect(value["a"].array?[2].string == "x" && value["a"].array?[3].bool == true)
    #expect(value["n"].double == 2.5 && value["n"].int == nil && value.object?.count == 3)
    #expect(value["z"] == .null && value["absent"] == .null && value["n"]["inside"] == .null)
    #expect(value["n"].string == nil && value["n"].bool == nil && value["n"].array == nil && value["n"].object == nil)
  }

  @Test(arguments: [
    ("null", "null"), ("true", "true"), ("7", "7"), ("1e300", "1e+300"), (#""a\n""#, #""a\u{a}""#),
    (#"[1,"b",{"c":2}]"#, #"[1, "b", an object of 1 members]"#), ("[1,2,3,4,5,6,7,8,9]", "9 elements"),
    ("[[1],[2]]", "2 elements"),
  ])
  func `a summary is one short line`(text: String, summary: String) throws {
    #expect(try parse(text).summary == summary)
    #expect(JSONValue.string(String(repeating: "é", count: 1000)).summary.count == 243)
  }
}
