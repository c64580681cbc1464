import Foundation
import Testing
import Tokenizers

/// Wrong tokenizers: read or refused with one line, never worse. A long run is asked for in the environment, as for the
/// readers of weights.
@Suite(.serialized) struct FuzzTests {
  private static let environment = ProcessInfo.processInfo.environment
  private static let longCount = environment["HYVIDEO_FUZZ_COUNT"].flatMap { Int($0) }
  private static let seed = environment["HYVIDEO_FUZZ_SEED"].flatMap { UInt64($0) } ?? 1

  private static let words = [
    "NaN", "null", "{", "}", "[", "]", ",", ":", "\"", "\\u", "\u{FEFF}", "-1", "1e999", "99999999999", "\"merges\":",
    "\"a b\",", "\"id\":",
  ].map { Array($0.utf8) }

  @Test func `a wrong tokenizer.json is read or refused, never worse`() throws {
    let whole = try JSONSerialization.data(
      withJSONObject: TinyTokenizer.llama(pieces: ["ab", "é"]), options: .sortedKeys)
    let original = [UInt8](whole)
    let folder = try TemporaryFolder(inMemory: true)
    try folder.write(whole, to: "tokenizer.json")
    #expect(try LlamaTokenizer(folder: folder.path).tokenize("ab").ids.count > 0)
    // Most of the file is the vocabulary: what stands around it is changed as often.
    let vocabulary = try #require(original.firstRange(of: Array("\"vocab\"".utf8))).lowerBound
    var state = Self.seed
    func next(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(max(limit, 1)))
    }
    let count = Self.longCount ?? 300
    let start = ContinuousClock.now
    var (taken, slowest) = (0, Duration.zero)
    for _ in 0..<count {
      var bytes = original
      for _ in 0...next(3) {
        let place = next(2) == 0 ? next(min(vocabulary, bytes.count)) : next(bytes.count)
        switch next(6) {
        case 0: bytes[place] ^= 1 << UInt8(next(8))
        case 1: bytes[place] = UInt8(next(256))
        case 2: bytes.remove(at: place)
        case 3 where next(8) == 0: bytes.removeLast(next(bytes.count - 1))
        case 4: bytes.insert(contentsOf: bytes[place..<min(place + 1 + next(40), bytes.count)], at: place)
        default: bytes.insert(contentsOf: Self.words[next(Self.words.count)], at: place)
        }
      }
      let began = ContinuousClock.now
      try folder.write(Data(bytes), to: "tokenizer.json")
      do {
        let tokenizer = try LlamaTokenizer(folder: folder.path)
        _ = tokenizer.tokenize("ab é <|begin|>").ids
        taken += 1
      } catch {
        #expect(!"\(error)".contains("\n") && "\(error)".utf8.count < 4000)
      }
      slowest = max(slowest, ContinuousClock.now - began)
    }
    #expect(taken > 0 && taken < count && slowest < .seconds(20))
    if Self.longCount != nil {
      print(
        "fuzz tokenizer.json: \(count) inputs, seed \(Self.seed), \(taken) taken, \(ContinuousClock.now - start), slowest \(slowest)"
      )
    }
  }
}
