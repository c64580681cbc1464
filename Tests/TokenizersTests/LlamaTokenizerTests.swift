import Foundation
import Testing
import Tokenizers

@Suite struct LlamaTokenizerTests {
  let tokenizer: LlamaTokenizer

  init() throws { tokenizer = try LlamaTokenizer(folder: Project.llamaFolder) }

  @Test func `the empty text is the begin token`() throws {
    let begin = try #require(tokenizer.id(of: "<|begin_of_text|>"))
    #expect(tokenizer.tokenize("").ids == [begin])
    #expect(tokenizer.prefixIDs == [begin])
    #expect(tokenizer.suffixIDs.isEmpty)
  }

  @Test func `the vocabulary covers the added tokens`() throws {
    #expect(tokenizer.vocabularySize == 814)
    #expect(tokenizer.padID == tokenizer.id(of: "<pad>"))
    #expect(tokenizer.id(of: "no such token") == nil)
  }

  @Test func `special tokens are recognised inside the text`() throws {
    let end = try #require(tokenizer.id(of: "<|eot_id|>"))
    let image = try #require(tokenizer.id(of: "<image>"))
    let red = tokenizer.tokenize("red").ids.dropFirst()
    #expect(tokenizer.tokenize("<|eot_id|>red<image><|eot_id|>").ids.dropFirst() == [end] + red + [image, end])
    #expect(!tokenizer.tokenize("<|eot_id>").ids.contains(end))
  }

  @Test func `of two added tokens at one place the longer is taken`() throws {
    let folder = try TinyTokenizer.folder(TinyTokenizer.llama())
    let tokenizer = try LlamaTokenizer(folder: folder.path)
    #expect(tokenizer.tokenize("<|end|>!<|end|>?").ids == [100_000, 100_002, 100_001, 0x3F])
  }

  @Test func `a configuration beside a tokenizer.model adds tokens and names the padding`() throws {
    let ranks = Project.root.appending(path: "Tests/Goldens/tokenizers/llama_ranks/tokenizer.model")
    let folder = try TemporaryFolder()
    try folder.write(Data(contentsOf: ranks), to: "tokenizer.model")
    let plain = try LlamaTokenizer(folder: folder.path)
    let count = plain.vocabularySize - 256
    #expect(plain.id(of: "<|eot_id|>") == Int32(count + 9))
    let configuration =
      #"{"pad_token": "<pad>", "added_tokens_decoder": {"ID": {"content": "<pad>", "special": true}}}"#
      .replacing("ID", with: "\(count + 257)")
    try folder.write(Data(configuration.utf8), to: "tokenizer_config.json")
    let larger = try LlamaTokenizer(folder: folder.path)
    #expect(larger.padID == Int32(count + 257) && larger.vocabularySize == count + 258)
    #expect(larger.tokenize("red<|eot_id|>").ids == plain.tokenize("red<|eot_id|>").ids)
  }

  @Test func `merges apply by rank, then from the left`() throws {
    var document = TinyTokenizer.llama(pieces: ["ab", "bc", "abc", "aa", "aaa"])
    var model = try #require(document["model"] as? [String: Any])
    model["ignore_merges"] = false
    for merges in [
      [["b", "c"], ["a", "bc"], ["a", "b"], ["a", "a"], ["aa", "a"]] as [Any],
      ["b c", "a bc", "a b", "a a", "aa a"] as [Any],
    ] {
      model["merges"] = merges
      document["model"] = model
      let folder = try TinyTokenizer.folder(document)
      let tokenizer = try LlamaTokenizer(folder: folder.path)
      #expect(tokenizer.tokenize("abcab").ids == [100_000, 258, 256])
      #expect(tokenizer.tokenize("aaaa").ids == [100_000, 259, 259])
      #expect(tokenizer.tokenize("aaaaaxbc").ids == [100_000, 259, 260, 0x78, 257])
    }
  }

  @Test func `merges may stand before the vocabulary`() throws {
    let folder = try TinyTokenizer.folder(TinyTokenizer.llama(pieces: ["ab"]))
    let path = folder.url.appending(path: "tokenizer.json")
    let text = try String(contentsOf: path, encoding: .utf8)
    for order in [
      text.replacing(#""merges":[]"#, with: #""merges":["a b"]"#),
      text.replacing(#""merges":[]"#, with: #""other":[]"#)
        .replacing(#""model":{"#, with: #""model":{"merges":["a b"],"#),
    ] {
      #expect(order != text)
      let order = order.replacing(#""ignore_merges":true"#, with: #""ignore_merges":false"#)
      try folder.write(Data(order.utf8), to: "tokenizer.json")
      #expect(try LlamaTokenizer(folder: folder.path).tokenize("ab").ids == [100_000, 256])
    }
  }

  @Test func `the begin token may come from the configuration`() throws {
    var document = TinyTokenizer.llama()
    document["post_processor"] = NSNull()
    let folder = try TinyTokenizer.folder(document)
    #expect(try LlamaTokenizer(folder: folder.path).tokenize("a").ids == [0x61])
    let configuration = #"{"add_bos_token": true, "bos_token": {"content": "<|begin|>"}, "model_max_length": 1e30}"#
    try folder.write(Data(configuration.utf8), to: "tokenizer_config.json")
    #expect(try LlamaTokenizer(folder: folder.path).tokenize("a").ids == [100_000, 0x61])
  }

  @Test func `a limit cuts at the right and says which text is lost`() throws {
    let whole = tokenizer.tokenize("A red ball moves.")
    #expect(!whole.isTruncated)
    #expect(whole.cutText == nil)
    let cut = tokenizer.tokenize("A red ball moves.", limit: 3)
    #expect(cut.ids == Array(whole.ids[..<3]))
    #expect(cut.count == whole.count)
    #expect(cut.limit == 3)
    #expect(cut.cutText == " ball moves.")
    #expect(tokenizer.tokenize("A red", limit: 1).cutText == "A red")
  }

  @Test func `a character that is cut in half is lost`() throws {
    let count = tokenizer.tokenize("a🦊b").count
    let kept = (1..<count).map { tokenizer.tokenize("a🦊b", limit: $0).cutText }
    #expect(kept == ["a🦊b", "🦊b", "🦊b", "🦊b", "🦊b", "b"])
  }

  static let published = ProcessInfo.processInfo.environment["HYVIDEO_TEXT_ENCODER"]

  @Test(.enabled(if: published != nil, "needs HYVIDEO_TEXT_ENCODER, the folder of the published text encoder"))
  func `the published tokenizer gives the published ids`() throws {
    let tokenizer = try LlamaTokenizer(folder: #require(Self.published))
    let video = PromptTemplate.video
    #expect(video.prefixCount(with: tokenizer) == 95)
    #expect(PromptTemplate.image.prefixCount(with: tokenizer) == 36)
    let english = video.tokenize("A cat walks on the grass, realistic style.", with: tokenizer, limit: 351)
    #expect(english.promptIDs == [32, 8415, 23291, 389, 279, 16763, 11, 26569, 1742, 13, 128009])
    let chinese = video.tokenize("一只小狗在草地上奔跑。", with: tokenizer, limit: 351)
    #expect(
      chinese.promptIDs == [15120, 92780, 31809, 117513, 19000, 105301, 30590, 17905, 124931, 110774, 1811, 128009])
    #expect(video.tokenize(PromptTemplate.defaultNegativePrompt, with: tokenizer).promptIDs.count == 34)
  }
}
