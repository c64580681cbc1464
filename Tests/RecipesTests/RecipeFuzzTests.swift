import Foundation
import Generation
import Recipes
import Testing

/// Configurations that somebody has damaged. `HYVIDEO_FUZZ_COUNT` and `HYVIDEO_FUZZ_SEED` choose how many, and which.
@Suite struct RecipeFuzzTests {
  private static let files = [
    """
    model_name: "hunyuan-video"
    world_size: 2
    model_args:
      prompt: "A cat walks on the grass, realistic style."  # a comment
      video-size: [720, 1280]
      seed: 42
      flow-shift: 7.0
      flow-reverse: true
      cache-option: [a=1, b=2]
      use-fp8: false
    dit_cache:
      method: "TeaCache"
      params: {rel_l1_thresh: 0.15, coefficients: [1.0, -2e3]}

    """,
    "model_args:\n  prompt: |\n    two\n    lines\n  neg-prompt: 'it''s'\n  model-base: ~\nsparse: {method: no_sparse}\n",
    "{model_args: {\"prompt\": \"a\\u0042\", infer_steps: 5, ? seed : 1}, env_vars: null}\n",
  ].map { Array($0.utf8) }

  /// What YAML gives a meaning to.
  private static let pieces = [
    "&a ", "*a", "<<: ", "!!int ", "--- ", "...\n", "\n- ", "? ", ": ", "|\n", ">-\n", "\t", "\r", "[", "]", "{", "}",
    "#", "\"", "'", "null", "~", "\\u0000", "\u{FEFF}", "\u{2028}", "\u{85}", "%YAML 9.9\n", "1e999", "-1", "0x",
    "video_size: 1\n  video-size: 2\n", "99999999999999999999", "\u{0}",
  ].map { Array($0.utf8) }

  @Test func `a damaged configuration is read or refused in a word, whatever is damaged`() throws {
    let environment = ProcessInfo.processInfo.environment
    let count = environment["HYVIDEO_FUZZ_COUNT"].flatMap { Int($0) } ?? 3000
    var generator = SplitMix(state: environment["HYVIDEO_FUZZ_SEED"].flatMap { UInt64($0) } ?? 1)
    var (read, refused) = (0, 0)
    for index in 0..<count {
      var bytes = Self.files[index % Self.files.count]
      for _ in 0...generator.next(below: 4) { Self.damage(&bytes, &generator) }
      do {
        let recipe = try Recipe(bytes: bytes, file: "c.yaml")
        for entry in recipe.arguments.entries { #expect(!entry.place.isEmpty) }
        read += 1
      } catch {
        let text = error.description
        let isOneLine = text.unicodeScalars.allSatisfy { !["\n", "\r", "\u{1B}", "\u{2028}"].contains($0) }
        #expect(isOneLine && text.contains("c.yaml") && text.utf8.count < 4000, "\(index): \(text)")
        refused += 1
      }
    }
    #expect(read + refused == count && (count < 100 || (read > count / 100 && refused > count / 100)))
  }

  private static func damage(_ bytes: inout [UInt8], _ generator: inout SplitMix) {
    let place = generator.next(below: bytes.count + 1)
    let end = min(bytes.count, place + generator.next(below: 12))
    switch generator.next(below: 7) {
    case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8(generator.next(below: 8))
    case 1 where place < bytes.count: bytes[place] = UInt8(generator.next(below: 256))
    case 2: bytes.removeSubrange(place..<end)
    case 3: bytes.insert(contentsOf: bytes[place..<end], at: generator.next(below: bytes.count + 1))
    case 4: bytes.removeSubrange(place...)
    case 5:
      let piece = pieces[generator.next(below: pieces.count)]
      bytes.insert(
        contentsOf: [[UInt8]](repeating: piece, count: 1 + generator.next(below: 3)).flatMap(\.self), at: place)
    default: bytes.insert(contentsOf: pieces[generator.next(below: pieces.count)], at: place)
    }
  }
}

/// The same numbers for the same seed.
private struct SplitMix {
  var state: UInt64

  mutating func next(below limit: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((z ^ (z >> 31)) % UInt64(limit))
  }
}
