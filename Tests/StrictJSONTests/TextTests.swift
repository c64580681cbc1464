import StrictJSON
import Testing

/// Text of any origin on its way to a terminal.
@Suite struct TextTests {
  static let hidden: [(text: String, shown: String)] = [
    ("a\u{1B}[31mb", "a\\u{1b}[31mb"), ("a\u{9B}b", "a\\u{9b}b"), ("a\u{7F}\u{0}b", "a\\u{7f}\\u{0}b"),
    ("a\u{202E}b\u{2066}", "a\\u{202e}b\\u{2066}"), ("a\u{200B}\u{FEFF}b", "a\\u{200b}\\u{feff}b"),
    ("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d"), ("a\r\tb", "a\\u{d}\\u{9}b"),
    ("a\u{E0041}\u{3164}b", "a\\u{e0041}\\u{3164}b"), ("Grüße, 猫 e\u{301} ☂\u{FE0F}", "Grüße, 猫 e\u{301} ☂\u{FE0F}"),
  ]

  @Test(arguments: hidden)
  func `what a terminal would obey or nobody would see is shown as an escape`(_ text: String, _ shown: String) {
    #expect(text.printable == shown && text.printableLines == shown && text.oneLine == shown)
    #expect("a\nb".printable == "a\\u{a}b" && "a\nb".printableLines == "a\nb")
  }

  @Test(arguments: hidden)
  func `JSON keeps its value`(_ text: String, _ shown: String) throws {
    let value = "{\"k\": \"\(text.unicodeScalars.filter { $0.value >= 0x20 }.map { String($0) }.joined())\"}"
    let safe = value.printableJSON
    #expect(safe.unicodeScalars.allSatisfy { $0.isDisplayed })
    var (escaped, plain) = (try JSONCursor(Array(safe.utf8)), try JSONCursor(Array(value.utf8)))
    #expect(try escaped.readDocument() == plain.readDocument())
  }
}
