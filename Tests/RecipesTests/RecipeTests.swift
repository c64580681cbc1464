import Foundation
import Generation
import Recipes
import Testing

/// What the reader takes YAML for.
@Suite struct RecipeTests {
  static func entries(_ yaml: String) throws(RequestError) -> [String: String] {
    let recipe = try Recipe(bytes: Array(yaml.utf8), file: "c.yaml")
    return Dictionary(recipe.arguments.entries.map { ($0.key, $0.value) }) { first, _ in first }
  }

  static let taken: [(yaml: String, key: String, value: String?)] = [
    // Words that YAML takes for something else.
    ("prompt: no", "prompt", "no"), ("prompt: off", "prompt", "off"), ("prompt: 42", "prompt", "42"),
    ("prompt: 2001-01-01", "prompt", "2001-01-01"), ("prompt: 1_000", "prompt", "1_000"),
    ("prompt: 'null'", "prompt", "null"), ("prompt: null", "prompt", nil), ("prompt: ~", "prompt", nil),
    ("prompt:", "prompt", nil), ("prompt: |\n    two\n    lines\n", "prompt", "two\nlines"),
    ("prompt: >\n    one\n    line\n\n", "prompt", "one line"), ("neg-prompt: ''", "neg-prompt", ""),
    ("prompt: \"- a cat\"", "prompt", "- a cat"), ("prompt: --seed", "prompt", "--seed"),
    ("seed: 18446744073709551615", "seed", "18446744073709551615"), ("seed: -1", "seed", "-1"),
    ("seed: null", "seed", nil), ("seed: 0", "seed", "0"), ("infer_steps: 5", "infer-steps", "5"),
    ("rel-l1-thresh: 1e-1", "rel-l1-thresh", "0.1"), ("flow-shift: 7", "flow-shift", "7.0"),
    ("flow-reverse: no", "flow-reverse", "false"), ("no-flow-reverse: true", "flow-reverse", "false"),
    ("video-size: 64", "video-size", "64 64"), ("video-size: null", "video-size", nil),
    ("model: HYVideo-T/2", "model", nil), ("model: ckpts", "model", "ckpts"), ("model-base: ckpts", "model", "ckpts"),
    ("use-fp8: false", "use-fp8", nil), ("use-fp8: null", "use-fp8", nil),
  ]

  @Test(arguments: taken)
  func `a text is what is written, a number a decimal number, and null is absent`(
    _ yaml: String, _ key: String, _ value: String?
  ) throws {
    let section = "model_args:\n  \(yaml)\n"
    #expect(try Self.entries(section)[key] == value)
    #expect(try Self.entries("\u{FEFF}" + section)[key] == value)
    #expect(try Self.entries(section.replacing("\n", with: "\r\n"))[key] == value)
  }

  static let refused: [(yaml: String, words: [String])] = [
    ("seed: 1_000", ["an integer", "1_000"]), ("seed: 0o17", ["0o17"]), ("seed: 017", ["an integer", "017"]),
    ("seed: 0x1F", ["0x1F"]), ("seed: 1e3", ["1e3"]), ("seed: 18446744073709551616", ["-1 to draw one"]),
    ("infer-steps: 010", ["an integer", "010"]), ("infer-steps: 9223372036854775808", ["an integer"]),
    ("flow-shift: 0x10", ["a number"]), ("flow-shift: .inf", ["a number"]), ("flow-shift: 1:30", ["a number"]),
    ("flow-shift: 1e999", ["a number"]), ("flow-reverse: maybe", ["true or false"]),
    ("video-size: [null, 5]", ["integers", "nothing"]), ("video-size: [0, 5]", ["numbers above 0"]),
    ("prompt: [a, b]", ["one value", "prompt-file"]), ("prompt: {a: b}", ["one value"]),
    ("video-size: 64\n  video_size: 32", ["twice"]), ("flow-reverse: true\n  no-flow-reverse: true", ["both"]),
    ("<<: {seed: 1}", ["unknown key", "<<"]), ("seed:\t1\n\tfps: 2", ["YAML"]),
    ("use-fp8: true", ["not built", "8-bit weights"]), ("model-base: a\n  model: b", ["both"]),
    ("model: HYVideo-S/2", ["not supported", "HYVideo-T/2"]), ("\"a\\u001bb\": 1", ["a\\u{1b}b"]),
  ]

  @Test(arguments: refused)
  func `what means two things, or nothing here, is refused with its place`(_ yaml: String, _ words: [String]) throws {
    let error = #expect(throws: RequestError.self) { try Self.entries("model_args:\n  \(yaml)\n") }
    let text = try #require(error).description
    for word in words { #expect(text.contains(word), "\(word): \(text)") }
    #expect(text.contains("c.yaml") && !text.unicodeScalars.contains("\u{1B}"))
  }

  @Test func `other encodings are named with what to do`() throws {
    let wide = "model_args:\n  prompt: ü\n".utf16.reduce(into: [UInt8]([0xFF, 0xFE])) { bytes, unit in
      bytes += [UInt8(truncatingIfNeeded: unit), UInt8(truncatingIfNeeded: unit >> 8)]
    }
    let latin = Array("model_args:\n  prompt: ".utf8) + [0xFC, 0x0A]
    for (bytes, word) in [(wide, "UTF-16"), (latin, "c.yaml:2")] {
      let error = #expect(throws: RequestError.self) { try Recipe(bytes: bytes, file: "c.yaml") }
      #expect(try #require(error).description.contains(word))
    }
  }

  @Test func `sections may be null, and what they hold may be too`() throws {
    let yaml = "model_args: null\ndit_cache:\nsparse: ~\nworld_size: null\nenv_vars: null\nmodel_name: null\n"
    let recipe = try Recipe(bytes: Array(yaml.utf8), file: "c.yaml")
    #expect(recipe.arguments.entries.isEmpty && recipe.worldSize == nil && recipe.cache == nil)
    let cache = "dit_cache:\n  method: FBCache\n  enable_separate_cfg: null\n  params: {rel_l1_thresh: null}\n"
    #expect(
      try Recipe(bytes: Array(cache.utf8), file: "c.yaml").cache?.options["rel_l1_thresh"] == "0.05")
  }
}
