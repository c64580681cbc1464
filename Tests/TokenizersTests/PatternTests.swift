import Foundation
import Testing
import Tokenizers

/// Where the texts are cut. In these tokenizers each expected piece is a token of its own, so a wrong cut shows as
/// bytes.
@Suite struct PatternTests {
  static let llamaPieces: [(String, [String])] = [
    (
      "it's IT'S you'LL 'ſo x'M 'Re",
      ["it", "'s", " IT", "'S", " you", "'LL", " '", "ſo", " x", "'M", " '", "Re"]
    ),
    ("x'ſ'S'RE'vE'lL'l 'll", ["x", "'ſ", "'S", "'RE", "'vE", "'lL", "'l", " '", "ll"]),
    ("don't''s", ["don", "'t", "''", "s"]),
    ("1234567 ٣٤٥٦½", ["123", "456", "7", " ", "٣٤٥", "٦½"]),
    ("a  b   c", ["a", " ", " b", "  ", " c"]),
    ("a \n b\n\n\n  c", ["a", " \n", " b", "\n\n\n", " ", " c"]),
    ("x\r\n\r\n\t y", ["x", "\r\n\r\n", "\t", " y"]),
    (" \t", [" \t"]),
    ("end  ", ["end", "  "]),
    ("\u{3000}中文，标点。", ["\u{3000}中文", "，标点", "。"]),
    ("wow!!!\n\n?? (x) \"q\"", ["wow", "!!!\n\n", "??", " (", "x", ")", " \"", "q", "\""]),
    ("a\u{301}b c\u{308}", ["a", "\u{301}b", " c", "\u{308}"]),
    ("\u{A0}\u{A0}x\u{2028}y\u{85}z", ["\u{A0}", "\u{A0}x", "\u{2028}y", "\u{85}z"]),
    ("_foo $bar", ["_foo", " $", "bar"]),
    ("👩\u{200D}👩 ok", ["👩\u{200D}👩", " ok"]),
    // U+088F became a letter in Unicode 17, after the library's tables.
    ("\u{88F}\u{860}", ["\u{88F}\u{860}"]),
    ("\u{860}\u{88F}", ["\u{860}", "\u{88F}"]),
  ]

  @Test(arguments: llamaPieces)
  func `LLaMA's expression cuts a text as the library does`(text: String, pieces: [String]) throws {
    let document = TinyTokenizer.llama(pieces: pieces)
    let folder = try TinyTokenizer.folder(document)
    let ids = try LlamaTokenizer(folder: folder.path).tokenize(text).ids
    #expect(try ids == [100_000] + expected(pieces, in: document))
  }

  static let clipPieces: [(String, [String])] = [
    ("IT'S You'll 'ſo", ["it", "'s", "you", "'ll", "'", "ſo"]),
    ("rock'n'roll", ["rock", "'", "n", "'", "roll"]),
    ("a1b22½", ["a", "1", "b", "2", "2", "½"]),
    ("  A\u{301}\t\nB\u{3000}C  ", ["á", "b", "c"]),
    ("e\u{301}é\u{212B}", ["ééå"]),
    ("İΣΑΣ ΟΔΟΣ", ["i", "\u{307}", "σασ", "οδοσ"]),
    ("wow!!!''s", ["wow", "!!!''", "s"]),
    ("x<|STARTOFTEXT|>!!", ["x", "<|", "startoftext", "|>", "!!"]),
    ("\u{1112}\u{1161}\u{11AB} \u{1100}\u{1161}\u{11A7} \u{AC00}\u{11A8}", ["한", "가\u{11A7}", "각"]),
    ("q\u{323}\u{307} q\u{307}\u{323}", ["q", "\u{323}\u{307}", "q", "\u{323}\u{307}"]),
    ("\u{344} \u{958}", ["\u{308}\u{301}", "\u{915}", "\u{93C}"]),
    // U+11935 + U+11930 compose to U+11938 since Unicode 13, after the library's tables.
    ("\u{11935}\u{11930} \u{1D15E}", ["\u{11935}\u{11930}", "\u{1D157}\u{1D165}"]),
  ]

  @Test(arguments: clipPieces)
  func `CLIP's cleaning and expression cut a text as the library does`(text: String, pieces: [String]) throws {
    let document = TinyTokenizer.clip(pieces: pieces)
    let folder = try TinyTokenizer.folder(document)
    let ids = try CLIPTokenizer(folder: folder.path).tokenize(text).ids
    #expect(try Array(ids.dropFirst().dropLast()) == expected(pieces, in: document))
  }

  @Test func `CLIP's older expression does not cut at special tokens`() throws {
    let document = TinyTokenizer.clip(pieces: ["<|", "startoftext", "|>!!"], special: false)
    let folder = try TinyTokenizer.folder(document)
    let ids = try CLIPTokenizer(folder: folder.path).tokenize("<|STARTOFTEXT|>!!").ids
    #expect(try Array(ids.dropFirst().dropLast()) == expected(["<|", "startoftext", "|>!!"], in: document))
  }

  private func expected(_ pieces: [String], in document: [String: Any]) throws -> [Int32] {
    let model = try #require(document["model"] as? [String: Any])
    let vocabulary = try #require(model["vocab"] as? [String: Int])
    return try pieces.map { Int32(try #require(vocabulary[TinyTokenizer.symbols($0)])) }
  }
}
