import Checkpoints
import Testing

struct JSONValueTests {
  private func parse(_ text: String) throws -> JSONValue { try JSONValue(bytes: Array(text.utf8), file: "test.json") }

  @Test(arguments: [
    ("null", JSONValue.null), (" true ", .bool(true)), ("false", .bool(false)), ("0", .integer(0)),
    ("-12", .integer(-12)),
    ("9223372036854775807", .integer(.max)), ("9223372036854775808", .number(0x1p63)), ("1.5", .number(1.5)),
    ("-0.25e-2", .number(-0.0025)), ("1E3", .number(1000)), ("\"a\\u0000b\"", .string("a\0b")), ("[]", .array([])),
    ("[1, [2]]", .array([.integer(1), .array([.integer(2)])])), ("{}", .object([:])),
    ("{\"a\":{\"b\":\"c\"}}", .object(["a": .object(["b": .string("c")])])),
  ])
  func `JSON text is read`(text: String, value: JSONValue) throws { #expect(try parse(text) == value) }

  @Test(arguments: [
    "", " ", "nul", "truex", "TRUE", "01", "+1", "1.", ".5", "1e", "-", "1e999", "NaN", "Infinity", "[1,]", "[1 2]",
    "[",
    "{\"a\"}", "{\"a\":}", "{a:1}", "{'a':1}", "{\"a\":1,\"a\":2}", "\"", "\"\\\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
    "\"\t\"", "1 1", "\u{FEFF}1",
  ])
  func `text that is not strict JSON is refused`(text: String) throws {
    let error = try #require(throws: CheckpointError.self) { try parse(text) }
    #expect("\(error)".contains("test.json: JSON text, byte"))
  }

  @Test func `nesting is followed 64 deep and no deeper`() throws {
    let nested = { (depth: Int) in String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
    #expect(throws: Never.self) { try parse(nested(64)) }
    #expect(throws: CheckpointError.self) { try parse(nested(65)) }
    #expect(throws: CheckpointError.self) { try parse(nested(1_000_000)) }
  }

  @Test func `members and elements are looked up`() throws {
    let value = try parse("{\"a\":[1,2.0,\"x\",true],\"n\":2.5}")
    #expect(value["a"]?.array?.map(\.int) == [1, 2, nil, nil])
    #expect(value["a"]?.array?[2].string == "x" && value["a"]?.array?[3].bool == true)
    #expect(value["n"]?.double == 2.5 && value["n"]?.int == nil && value["absent"] == nil)
    #expect(value.object?.count == 2)
  }
}
