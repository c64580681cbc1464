import Foundation
import Testing
import Tokenizers

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What the calling thread has computed in a call, however busy the machine is.
private func processorTime(_ body: () throws -> Void) rethrows -> Duration {
  func now() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
  let start = now()
  try body()
  return now() - start
}

/// Bounds that hold on a slow, busy machine, but not for an algorithm of the wrong order.
@Suite(.serialized) struct SpeedTests {
  @Test func `a tokenizer of LLaMA-3's size loads and encodes without delay`() throws {
    let folder = try TemporaryFolder()
    try folder.write(Self.largeTokenizer(), to: "tokenizer.json")
    var tokenizer: LlamaTokenizer?
    let loading = try processorTime { tokenizer = try LlamaTokenizer(folder: folder.path) }
    #expect(loading < .seconds(3))

    let large = try #require(tokenizer)
    #expect(large.vocabularySize == 127_600 + 256 + 2)
    let prompt = (0..<2_000).map { "word\($0 % 10)abcd, " }.joined()
    let encoding = processorTime { #expect(large.tokenize(prompt).count > 4_000) }
    #expect(encoding < .milliseconds(500))
  }

  @Test func `a tokenizer.model of LLaMA-3's size loads without delay`() throws {
    let letters = (0..<26).map { UInt8(97 + $0) }
    var tokens = (0..<256).map { [UInt8($0)] }
    var words = letters.map { [$0] }
    while tokens.count < 128_000 {
      words = words.flatMap { word in letters.map { word + [$0] } }
      tokens += words.prefix(128_000 - tokens.count)
    }
    let lines = tokens.enumerated().map { "\(Data($0.element).base64EncodedString()) \($0.offset)\n" }
    let folder = try TemporaryFolder(["tokenizer.model": lines.joined()])
    var tokenizer: LlamaTokenizer?
    let loading = try processorTime { tokenizer = try LlamaTokenizer(folder: folder.path) }
    #expect(loading < .seconds(3))
    #expect(tokenizer?.vocabularySize == 128_256)
  }

  @Test(arguments: ["a", " ", "1", "!", "'", "\n", " \n", "é", "中", "a\u{301}\u{323}", "<|end", "<|eot_id|>"])
  func `long runs take time in proportion to their length`(unit: String) throws {
    let llama = try LlamaTokenizer(folder: Project.llamaFolder)
    let clip = try CLIPTokenizer(folder: Project.clipFolder)
    let text = String(repeating: unit, count: 100_000 / unit.unicodeScalars.count)
    let time = processorTime {
      #expect(llama.tokenize(text).count > 100)
      #expect(clip.tokenize(text).count >= 2)
    }
    #expect(time < .seconds(5))
  }

  /// A `tokenizer.json` with 127,856 tokens and 280,000 merges: all words of two to four letters out of 19, nearly.
  private static func largeTokenizer() throws -> Data {
    let letters = (0..<19).map { String(UnicodeScalar(UInt8(97 + $0))) }
    let pairs = letters.flatMap { first in letters.map { first + $0 } }
    let triples = pairs.flatMap { first in letters.map { first + $0 } }
    let quadruples = triples.flatMap { first in letters.map { first + $0 } }
    let words = Array((pairs + triples + quadruples).prefix(127_600))
    var document = TinyTokenizer.llama()
    document["added_tokens"] = [TinyTokenizer.added("<|begin|>", 127_856), TinyTokenizer.added("<|end|>", 127_857)]
    document["post_processor"] = NSNull()
    document["model"] = ["vocab": "VOCABULARY", "merges": "MERGES"]

    let symbols = try TinyTokenizer.alphabet.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
    let entries = (symbols + words.map { "\"\($0)\"" }).enumerated().map { "\($0.element): \($0.offset)" }
    var merges: [String] = []
    for word in words {
      for split in 1..<word.utf8.count { merges.append("\"\(word.prefix(split)) \(word.dropFirst(split))\"") }
    }
    let text = String(decoding: try JSONSerialization.data(withJSONObject: document), as: UTF8.self)
      .replacing("\"VOCABULARY\"", with: "{" + entries.joined(separator: ", ") + "}")
      .replacing("\"MERGES\"", with: "[" + merges.prefix(280_000).joined(separator: ", ") + "]")
    return Data(text.utf8)
  }
}
