import Foundation
import Testing
import Tokenizers

/// Files that are missing, broken or hostile get an error that names the file and the thing.
@Suite struct BrokenFileTests {
  /// One way to spoil a LLaMA `tokenizer.json`, and what the message must mention.
  struct Spoiled: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var mentions: String
    var change: @Sendable (inout [String: Any]) -> Void

    init(_ name: String, mentions: String, _ change: @escaping @Sendable (inout [String: Any]) -> Void) {
      (testDescription, self.mentions, self.change) = (name, mentions, change)
    }

    /// A change of one member of the model.
    init(model key: String, _ value: any Sendable, mentions: String) {
      self.init("model.\(key) = \(value)", mentions: mentions) { document in
        var model = document["model"] as? [String: Any] ?? [:]
        model[key] = value
        document["model"] = model
      }
    }

    /// A change of the vocabulary.
    init(token: String, _ id: any Sendable, mentions: String) {
      self.init("token \(token) = \(id)", mentions: mentions) { document in
        var model = document["model"] as? [String: Any] ?? [:]
        var vocabulary = model["vocab"] as? [String: Any] ?? [:]
        vocabulary[token] = id
        model["vocab"] = vocabulary
        document["model"] = model
      }
    }

    /// A change of the splitting stage.
    init(split key: String, _ value: any Sendable, mentions: String) {
      self.init("Split.\(key) = \(value)", mentions: mentions) { document in
        var sequence = document["pre_tokenizer"] as? [String: Any] ?? [:]
        var stages = sequence["pretokenizers"] as? [[String: Any]] ?? []
        stages[0][key] = value
        sequence["pretokenizers"] = stages
        document["pre_tokenizer"] = sequence
      }
    }
  }

  static let spoiled: [Spoiled] = [
    .init(model: "type", "WordPiece", mentions: "WordPiece"),
    .init(model: "type", 3, mentions: "type"),
    .init(model: "byte_fallback", true, mentions: "byte_fallback"),
    .init(model: "fuse_unk", true, mentions: "fuse_unk"),
    .init(model: "dropout", 0.1, mentions: "dropout"),
    .init(model: "continuing_subword_prefix", "##", mentions: "##"),
    .init(model: "end_of_word_suffix", "</w>", mentions: "byte"),
    .init(model: "unk_token", "<unk>", mentions: "<unk>"),
    .init(model: "ignore_merges", "yes", mentions: "ignore_merges"),
    .init(model: "merges", ["a b"], mentions: "\"ab\" is unknown"),
    .init(model: "merges", ["a  b"], mentions: "merge 1"),
    .init(model: "merges", ["ab"], mentions: "merge 1"),
    .init(model: "merges", [["a", "b", "c"]], mentions: "two tokens"),
    .init(model: "merges", [["a"]], mentions: "two tokens"),
    .init(model: "merges", [7], mentions: "merge"),
    .init(model: "merges", "a b", mentions: "merges"),
    .init(model: "vocab", ["a"], mentions: "vocabulary"),
    .init(model: "vocab", [String: Int](), mentions: "byte 0"),
    .init(token: "x1", -1, mentions: "-1"),
    .init(token: "x1", 1 << 40, mentions: "1099511627776"),
    .init(token: "x1", 1.5, mentions: "integer"),
    .init(token: "x1", "7", mentions: "integer"),
    .init(token: "x1", 65, mentions: "id 65"),
    .init(token: "<|end|>", 300, mentions: "100001"),
    .init(token: "x1", 100_001, mentions: "<|end|>"),
    .init(split: "pattern", ["Regex": #"\p{L}+|\s+"#], mentions: #"\p{L}+|\s+"#),
    .init(split: "pattern", ["String": "Ġ"], mentions: "Ġ"),
    .init(split: "behavior", "Removed", mentions: "Removed"),
    .init(split: "invert", true, mentions: "invert"),
    .init(split: "type", "Metaspace", mentions: "Metaspace"),
    .init("no pre-tokenizer", mentions: "none") { $0["pre_tokenizer"] = nil },
    .init("pre-tokenizer without a type", mentions: "type") { $0["pre_tokenizer"] = ["x": 1] },
    .init("normalizer", mentions: "NFKC") { $0["normalizer"] = ["type": "NFKC"] },
    .init("post-processor", mentions: "BertProcessing") { $0["post_processor"] = ["type": "BertProcessing"] },
    .init("template without a text", mentions: "single") { $0["post_processor"] = ["type": "TemplateProcessing"] },
    .init("no model", mentions: "model") { $0["model"] = nil },
    .init("no vocabulary", mentions: "vocab") { $0["model"] = ["merges": [String]()] },
    .init("no merges", mentions: "merges") { $0["model"] = ["vocab": [String: Int]()] },
    .init("added tokens of the wrong type", mentions: "added_tokens") { $0["added_tokens"] = 1 },
    .init("an empty added token", mentions: "added token") { $0["added_tokens"] = [["id": 1000, "content": ""]] },
    .init("an added token with lstrip", mentions: "lstrip") {
      $0["added_tokens"] = [["id": 1000, "content": "<x>", "lstrip": true]]
    },
    .init("two added tokens with one id", mentions: "<y>") {
      $0["added_tokens"] = [TinyTokenizer.added("<x>", 1000), TinyTokenizer.added("<y>", 1000)]
    },
  ]

  @Test(arguments: spoiled)
  func `a tokenizer.json that cannot be honoured is refused by name`(spoiled: Spoiled) throws {
    var document = TinyTokenizer.llama()
    spoiled.change(&document)
    let folder = try TinyTokenizer.folder(document)
    let error = #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    let message = error?.description ?? ""
    #expect(message.contains("tokenizer.json"), "\(message)")
    #expect(message.contains(spoiled.mentions), "\(message)")
  }

  @Test(arguments: [
    "", "{", "[]", "null", "{\"model\"", "{\"model\": {}", "{\"a\": tru}", "{\"a\": 1} x",
    "{\"model\": {\"vocab\": {\"a\": 0, \"a\": 1}}}", "{\"model\": {\"vocab\": {\"a\": 1e3}}}",
    "{\"model\": {\"merges\": [[\"a\"", "{\"added_tokens\": [{\"id\": 1, \"id\": 2}]}",
    "{\"a\": " + String(repeating: "[", count: 100_000), "{\"model\": " + String(repeating: "{\"a\":", count: 100_000),
  ])
  func `malformed JSON is an error with its place`(text: String) throws {
    let folder = try TemporaryFolder(["tokenizer.json": text])
    let error = #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    #expect(error?.description.contains("tokenizer.json") == true)
  }

  @Test func `every truncation of a tokenizer.json is an error`() throws {
    let whole = try JSONSerialization.data(withJSONObject: TinyTokenizer.llama(pieces: ["ab", "é"]))
    let folder = try TemporaryFolder()
    for length in stride(from: 0, to: whole.count, by: 29) {
      try folder.write(whole.prefix(length), to: "tokenizer.json")
      #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    }
  }

  @Test func `invalid UTF-8 is an error with its offset`() throws {
    let folder = try TemporaryFolder()
    try folder.write(Data(Array("{\"a\": \"".utf8) + [0xC3, 0x28] + Array("\"}".utf8)), to: "tokenizer.json")
    let error = #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    #expect(error?.description.contains("offset 7") == true)
  }

  @Test func `files that an editor saved with a byte order mark and CRLF are read`() throws {
    func edited(_ text: String) -> Data { Data(("\u{FEFF}" + text.replacing("\n", with: "\r\n")).utf8) }
    let whole = try JSONSerialization.data(withJSONObject: TinyTokenizer.llama(pieces: ["ab"]), options: .prettyPrinted)
    let folder = try TemporaryFolder([
      "tokenizer_config.json": "\u{FEFF}{\"model_max_length\": Infinity, \"max_length\": NaN}\r\n"
    ])
    try folder.write(edited(String(decoding: whole, as: UTF8.self)), to: "tokenizer.json")
    let plain = try TinyTokenizer.folder(TinyTokenizer.llama(pieces: ["ab"]))
    #expect(
      try LlamaTokenizer(folder: folder.path).tokenize("ab é").ids
        == LlamaTokenizer(folder: plain.path).tokenize("ab é").ids)
    let clip = try TemporaryFolder()
    try clip.write(
      edited("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"b</w>\": 3, \"ab</w>\": 4}\n"),
      to: "vocab.json")
    try clip.write(edited("#version: 0.2\na b</w>\n"), to: "merges.txt")
    #expect(try CLIPTokenizer(folder: clip.path).tokenize("ab").ids.contains(4))
  }

  @Test func `a tokenizer in UTF-16 is named, with what to do`() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      Data([0xFF, 0xFE] + "{}".utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }), to: "tokenizer.json")
    let error = #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    #expect(error?.description.contains("UTF-16") == true && error?.description.contains("as UTF-8") == true)
  }

  @Test(arguments: [
    ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; fetch"), ("<html>", "a web page"),
  ])
  func `what stands in the place of a tokenizer is named`(text: String, found: String) throws {
    for name in ["tokenizer.json", "tokenizer.model"] {
      let folder = try TemporaryFolder([name: text])
      let error = #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
      #expect(
        error?.description.contains("\(folder.path)/\(name)") == true
          && error?.description.contains("found \(found)") == true)
    }
  }

  @Test func `missing files are named`() throws {
    let folder = try TemporaryFolder()
    let llama = #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    #expect(llama?.details.file == folder.path + "/tokenizer.json")
    let neither = #expect(throws: TokenizerError.self) { try CLIPTokenizer(folder: folder.path) }
    #expect(neither?.details.file == folder.path + "/vocab.json")
    try folder.write(Data(#"{"<|startoftext|>": 0, "<|endoftext|>": 1}"#.utf8), to: "vocab.json")
    let merges = #expect(throws: TokenizerError.self) { try CLIPTokenizer(folder: folder.path) }
    #expect(merges?.details.file == folder.path + "/merges.txt")
  }

  @Test func `a folder or device in the place of a file is refused`() throws {
    let folder = try TemporaryFolder()
    let path = folder.url.appending(path: "tokenizer.json")
    try FileManager.default.createDirectory(at: path, withIntermediateDirectories: false)
    #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    try FileManager.default.removeItem(at: path)
    try FileManager.default.createSymbolicLink(at: path, withDestinationURL: URL(filePath: "/dev/zero"))
    #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
  }

  @Test(arguments: [
    ("vocab.json", #"{"a": 0}"#, "<|endoftext|>"),
    ("vocab.json", #"{"<|endoftext|>": 0}"#, "<|startoftext|>"),
    ("vocab.json", #"{"<|startoftext|>": 0, "<|endoftext|>": 0}"#, "id 0"),
    ("vocab.json", #"["a"]"#, "vocabulary"),
    ("merges.txt", "#version: 0.2\na b\n", "\"b\" is unknown"),
    ("merges.txt", "a b c\n", "merge 1"),
    ("tokenizer_config.json", "{", "end of the file"),
    ("tokenizer_config.json", #"{"model_max_length": 0}"#, "model_max_length"),
    ("tokenizer_config.json", #"{"pad_token": "<none>"}"#, "<none>"),
    ("tokenizer_config.json", #"{"bos_token": 5}"#, "bos_token"),
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"x": {"content": "y"}}}"#, "added_tokens_decoder"),
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"1": {"content": "y"}}}"#, "id 1"),
    ("special_tokens_map.json", #"{"eos_token": {}}"#, "eos_token"),
  ])
  func `CLIP's files are checked as well`(file: String, text: String, mentions: String) throws {
    let folder = try TemporaryFolder([
      "vocab.json": #"{"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2}"#, "merges.txt": "#version: 0.2\n",
    ])
    #expect(try CLIPTokenizer(folder: folder.path).tokenize("").ids == [0, 1])
    try folder.write(Data(text.utf8), to: file)
    let error = #expect(throws: TokenizerError.self) { try CLIPTokenizer(folder: folder.path) }
    #expect(error?.description.contains(mentions) == true, "\(error?.description ?? "")")
  }

  @Test(arguments: [
    ("", "byte 0"), ("YQ== 1\n", "rank 0"), ("YQ==\n", "rank 0"), ("YQ== 0 0\n", "rank 0"), ("Y 0\n", "rank 0"),
    (" 0\n", "rank 0"), ("YQ== 0\nYQ== 1\n", "twice"), ("YQ== 0\n", "byte 0"), ("YQ== -1\n", "rank 0"),
    ("YQ== 99999999999999999999\n", "rank 0"), ("\u{0A}\u{0E}\u{0A}\u{05}<unk>\u{15}", "SentencePiece"),
    (String(repeating: "YWFh", count: 200) + " 0\n", "SentencePiece"),
  ])
  func `a tokenizer.model that is not LLaMA-3's is refused`(text: String, mentions: String) throws {
    let folder = try TemporaryFolder(["tokenizer.model": text])
    let error = #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: folder.path) }
    let message = error?.description ?? ""
    #expect(message.contains("tokenizer.model") && message.contains(mentions), "\(message)")
  }

  @Test func `each kind of tokenizer refuses the other's file`() throws {
    let llama = try TinyTokenizer.folder(TinyTokenizer.llama())
    let clip = try TinyTokenizer.folder(TinyTokenizer.clip())
    #expect(throws: TokenizerError.self) { try CLIPTokenizer(folder: llama.path) }
    #expect(throws: TokenizerError.self) { try LlamaTokenizer(folder: clip.path) }
  }
}
