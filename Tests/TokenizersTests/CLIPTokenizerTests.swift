import Foundation
import Testing
import Tokenizers

@Suite struct CLIPTokenizerTests {
  let tokenizer: CLIPTokenizer

  init() throws { tokenizer = try CLIPTokenizer(folder: Project.clipFolder) }

  @Test func `the empty text is begin and end`() {
    #expect(tokenizer.tokenize("").ids == [tokenizer.beginID, tokenizer.endID])
    #expect(tokenizer.tokenize(" \n ").ids == [tokenizer.beginID, tokenizer.endID])
    #expect(tokenizer.padID == tokenizer.endID)
    #expect(tokenizer.maximumLength == 77)
    #expect(tokenizer.vocabularySize == 930)
  }

  @Test func `truncation keeps the end token last`() {
    let text = (1...100).map { "ball \($0)" }.joined(separator: " ")
    let whole = tokenizer.tokenize(text, limit: 10_000)
    let cut = tokenizer.tokenize(text)
    #expect(cut.ids.count == 77)
    #expect(cut.ids == Array(whole.ids[..<76]) + [tokenizer.endID])
    #expect(cut.count == whole.ids.count)
    #expect(tokenizer.tokenize(text, limit: 2).ids == [tokenizer.beginID, tokenizer.endID])
  }

  @Test func `the lost text is quoted as it was written`() {
    let text = "A RED  ball, e\u{301}t\u{E9} \u{130}S"
    let lost = (2...tokenizer.tokenize(text).count).compactMap { tokenizer.tokenize(text, limit: $0).cutText }
    #expect(lost.first == text)
    #expect(lost.contains("ball, e\u{301}t\u{E9} \u{130}S"))
    #expect(lost.allSatisfy { text.unicodeScalars.reversed().starts(with: $0.unicodeScalars.reversed()) })
    #expect(lost.last == "S")
  }

  @Test func `special tokens are recognised inside the text, in their own case`() {
    let ball = Array(tokenizer.tokenize("ball").ids.dropFirst().dropLast())
    let ids = tokenizer.tokenize("<|startoftext|>BALL<|endoftext|>").ids
    #expect(ids == [tokenizer.beginID, tokenizer.beginID] + ball + [tokenizer.endID, tokenizer.endID])
    #expect(!tokenizer.tokenize("<|STARTOFTEXT|>").ids.dropFirst().contains(tokenizer.beginID))
  }

  @Test func `a special token marked as normalized is recognised in any case`() throws {
    var document = TinyTokenizer.clip()
    let vocabulary = try #require((document["model"] as? [String: Any])?["vocab"] as? [String: Int])
    document["added_tokens"] = try ["<|startoftext|>", "<|endoftext|>"].map {
      TinyTokenizer.added($0, try #require(vocabulary[$0]), normalized: $0 == "<|startoftext|>")
    }
    let folder = try TinyTokenizer.folder(document)
    let tokenizer = try CLIPTokenizer(folder: folder.path)
    let ids = tokenizer.tokenize("<|StartOfText|><|ENDOFTEXT|>").ids
    #expect(ids[..<2] == [tokenizer.beginID, tokenizer.beginID])
    #expect(!ids.dropFirst(2).dropLast().contains(tokenizer.endID))
  }

  @Test func `where roles of one token disagree the last decides`() throws {
    let folder = try TemporaryFolder([
      "vocab.json": #"{"<|startoftext|>": 0, "<|endoftext|>": 1}"#, "merges.txt": "",
      "tokenizer_config.json": """
      {"bos_token": {"content": "<|startoftext|>", "normalized": true},
       "eos_token": {"content": "<|endoftext|>", "normalized": true}, "pad_token": "<|endoftext|>"}
      """,
    ])
    let tokenizer = try CLIPTokenizer(folder: folder.path)
    #expect(tokenizer.tokenize("<|STARTOFTEXT|>").ids == [0, 0, 1])
    #expect(tokenizer.tokenize("<|ENDOFTEXT|>").count == 2 + "<|endoftext|>".utf8.count)
  }

  @Test func `bytes without a token become the unknown token`() throws {
    let folder = try TemporaryFolder([
      "vocab.json": #"{"a": 0, "b</w>": 1, "ab</w>": 2, "<|startoftext|>": 3, "<|endoftext|>": 4}"#,
      "merges.txt": "#version: 0.2\r\na b</w>\r\n",
    ])
    let tokenizer = try CLIPTokenizer(folder: folder.path)
    #expect(tokenizer.tokenize("ab aab b a xé").ids == [3, 2, 0, 2, 1, 4, 4, 4, 4, 4])
  }

  @Test func `the configuration names the special tokens`() throws {
    let folder = try TemporaryFolder([
      "vocab.json": #"{"a</w>": 0, "[": 1, "]": 2, "?": 3, "_": 4}"#,
      "merges.txt": "#version: 0.2\n",
      "special_tokens_map.json": #"{"bos_token": "x", "eos_token": "]", "pad_token": "_", "unk_token": "?"}"#,
      "tokenizer_config.json": #"{"bos_token": {"content": "[", "normalized": true}, "model_max_length": 5}"#,
    ])
    let tokenizer = try CLIPTokenizer(folder: folder.path)
    #expect(tokenizer.padID == 4)
    #expect(tokenizer.tokenize("a[a a a a").ids == [1, 0, 1, 0, 2])
  }
}
