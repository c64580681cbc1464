import Foundation
import Testing
import Tokenizers

/// Ids of the `tokenizers` library over hard texts (see `Tools/goldens`).
@Suite struct TokenizerGoldenTests {
  struct Golden: Decodable {
    var text: String
    var ids: [Int32]
  }

  struct Truncated: Decodable {
    var llama: Case
    var clip: Case

    struct Case: Decodable {
      var text: String
      var ids: [Int32]
      var maxLength: Int
    }
  }

  @Test(arguments: [
    ("Models/demo/text_encoder", "llama.json"),
    ("Tests/Goldens/tokenizers/llama_4k", "llama_4k/goldens.json"),
    ("Tests/Goldens/tokenizers/llama_ranks", "llama_ranks/goldens.json"),
  ])
  func `the LLaMA tokenizer gives the library's ids`(folder: String, file: String) throws {
    let tokenizer = try LlamaTokenizer(folder: Project.root.appending(path: folder).path)
    let goldens = try Project.json("Tests/Goldens/tokenizers/\(file)", as: [Golden].self)
    #expect(goldens.count > 100)
    for golden in goldens {
      #expect(tokenizer.tokenize(golden.text).ids == golden.ids, "\(golden.text.debugDescription)")
    }
  }

  @Test(arguments: [
    ("Models/demo/text_encoder_2", "clip.json"),
    ("Tests/Goldens/tokenizers/clip_3k", "clip_3k/goldens.json"),
  ])
  func `the CLIP tokenizer gives the library's ids`(folder: String, file: String) throws {
    let tokenizer = try CLIPTokenizer(folder: Project.root.appending(path: folder).path)
    let goldens = try Project.json("Tests/Goldens/tokenizers/\(file)", as: [Golden].self)
    #expect(goldens.count > 100)
    #expect(tokenizer.file.hasSuffix("/vocab.json"))
    for golden in goldens {
      #expect(tokenizer.tokenize(golden.text, limit: 100_000).ids == golden.ids, "\(golden.text.debugDescription)")
    }
  }

  @Test func `a tokenizer.json alone makes the same CLIP tokenizer as the pair of files`() throws {
    let folder = try TemporaryFolder()
    let source = URL(filePath: Project.clipFolder).appending(path: "tokenizer.json")
    try folder.write(Data(contentsOf: source), to: "tokenizer.json")
    let tokenizer = try CLIPTokenizer(folder: folder.path)
    #expect(tokenizer.file.hasSuffix("/tokenizer.json"))
    for golden in try Project.json("Tests/Goldens/tokenizers/clip.json", as: [Golden].self) {
      #expect(tokenizer.tokenize(golden.text, limit: 100_000).ids == golden.ids, "\(golden.text.debugDescription)")
    }
  }

  @Test func `truncation gives the library's ids`() throws {
    let goldens = try Project.json("Tests/Goldens/tokenizers/truncation.json", as: Truncated.self)
    let llama = try LlamaTokenizer(folder: Project.llamaFolder)
    #expect(llama.tokenize(goldens.llama.text, limit: goldens.llama.maxLength).ids == goldens.llama.ids)
    let clip = try CLIPTokenizer(folder: Project.clipFolder)
    #expect(clip.tokenize(goldens.clip.text, limit: goldens.clip.maxLength).ids == goldens.clip.ids)
  }

  @Test func `templated and padded prompts give the demo checkpoint's ids`() throws {
    struct Description: Decodable {
      var tokenPrompts: [String]
    }
    let prompts = try Project.json("Tests/Goldens/demo/goldens.json", as: Description.self).tokenPrompts
    let tensors = try integerTensors("Tests/Goldens/demo/tokens.safetensors")
    let llama = try LlamaTokenizer(folder: Project.llamaFolder)
    let clip = try CLIPTokenizer(folder: Project.clipFolder)
    let padID = try #require(llama.padID)
    for (index, prompt) in prompts.enumerated() {
      func row(_ name: String, _ length: Int) throws -> [Int32] {
        let values = try #require(tensors[name])
        return Array(values[index * length..<(index + 1) * length])
      }
      let first = PromptTemplate.video.tokenize(prompt, with: llama, limit: 351).padded(to: 351, with: padID)
      #expect(try first.ids == row("llama.input_ids", 351))
      #expect(try first.validCount == Int(row("llama.attention_mask", 351).reduce(0, +)))
      let second = clip.tokenize(prompt).padded(to: 77, with: clip.padID)
      #expect(try second.ids == row("clip.input_ids", 77))
      #expect(try second.validCount == Int(row("clip.attention_mask", 77).reduce(0, +)))
    }
  }

  /// The int32 tensors of a safetensors file.
  private func integerTensors(_ path: String) throws -> [String: [Int32]] {
    struct Entry: Decodable {
      var dtype: String?
      var offsets: [Int]?
      enum CodingKeys: String, CodingKey {
        case dtype
        case offsets = "data_offsets"
      }
    }
    let bytes = [UInt8](try Data(contentsOf: Project.root.appending(path: path)))
    let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONDecoder().decode([String: Entry].self, from: Data(bytes[8..<8 + length]))
    return header.compactMapValues { entry in
      guard entry.dtype == "I32", let offsets = entry.offsets else { return nil }
      return stride(from: 8 + length + offsets[0], to: 8 + length + offsets[1], by: 4).map { start in
        Int32(truncatingIfNeeded: bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | Int($1) })
      }
    }
  }
}
