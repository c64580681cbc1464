import Foundation
import Tokenizers

/// Places of the project that the tests read.
enum Project {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  static let goldens = root.appending(path: "Tests/Goldens/tokenizers")
  static let llamaFolder = root.appending(path: "Models/demo/text_encoder").path
  static let clipFolder = root.appending(path: "Models/demo/text_encoder_2").path

  /// A JSON file, its snake-case keys as camel case.
  static func json<Value: Decodable>(_ path: String, as type: Value.Type) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(contentsOf: root.appending(path: path)))
  }
}

/// A folder that is removed with this object.
final class TemporaryFolder {
  let url: URL
  var path: String { url.path }

  /// - Parameter inMemory: Whether the folder is one that no disk is behind, where the system has such.
  init(_ files: [String: String] = [:], inMemory: Bool = false) throws {
    let memory = inMemory && FileManager.default.isWritableFile(atPath: "/dev/shm/")
    let parent = memory ? URL(filePath: "/dev/shm/") : FileManager.default.temporaryDirectory
    url = parent.appending(path: "tokenizers-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    for (name, text) in files { try write(Data(text.utf8), to: name) }
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  func write(_ data: Data, to name: String) throws { try data.write(to: url.appending(path: name)) }
}

/// Small tokenizers made for a test.
enum TinyTokenizer {
  /// The printable character of each byte in byte-level vocabularies.
  static let alphabet: [String] = {
    let printable = Set(Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF))
    var next = 0x100
    return (0..<256).compactMap { byte in
      if printable.contains(byte) { return Unicode.Scalar(byte).map { String($0) } }
      next += 1
      return Unicode.Scalar(next - 1).map { String($0) }
    }
  }()

  static func symbols(_ text: String) -> String { text.utf8.map { alphabet[Int($0)] }.joined() }

  /// A LLaMA-like `tokenizer.json` with a token for each byte (its value is the id) and for each of `pieces`.
  static func llama(pieces: [String] = []) -> [String: Any] {
    let vocabulary = vocabulary(alphabet + pieces.map(symbols))
    return [
      "version": "1.0",
      "added_tokens": [added("<|begin|>", 100_000), added("<|end|>", 100_001), added("<|end|>!", 100_002)],
      "normalizer": NSNull(),
      "pre_tokenizer": [
        "type": "Sequence",
        "pretokenizers": [
          ["type": "Split", "pattern": ["Regex": llamaPattern], "behavior": "Isolated", "invert": false],
          ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false],
        ],
      ],
      "post_processor": [
        "type": "TemplateProcessing",
        "single": [["SpecialToken": ["id": "B", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]]],
        "special_tokens": ["B": ["id": "B", "ids": [100_000], "tokens": ["<|begin|>"]]],
      ],
      "model": ["type": "BPE", "ignore_merges": true, "vocab": vocabulary, "merges": [String]()],
    ]
  }

  /// A CLIP-like `tokenizer.json`, likewise.
  static func clip(pieces: [String] = [], special: Bool = true) -> [String: Any] {
    let tokens = alphabet + alphabet.map { $0 + "</w>" } + pieces.map(symbols) + ["<|startoftext|>", "<|endoftext|>"]
    let vocabulary = vocabulary(tokens)
    let (begin, end) = (vocabulary["<|startoftext|>"] ?? 0, vocabulary["<|endoftext|>"] ?? 0)
    return [
      "added_tokens": [added("<|startoftext|>", begin), added("<|endoftext|>", end)],
      "normalizer": [
        "type": "Sequence",
        "normalizers": [
          ["type": "NFC"], ["type": "Replace", "pattern": ["Regex": #"\s+"#], "content": " "], ["type": "Lowercase"],
        ],
      ],
      "pre_tokenizer": [
        "type": "Sequence",
        "pretokenizers": [
          [
            "type": "Split", "pattern": ["Regex": (special ? specialPattern : "") + clipPattern],
            "behavior": "Removed", "invert": true,
          ],
          ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true],
        ],
      ],
      "post_processor": [
        "type": "RobertaProcessing", "sep": ["<|endoftext|>", end], "cls": ["<|startoftext|>", begin],
      ],
      "model": [
        "type": "BPE", "unk_token": "<|endoftext|>", "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
        "ignore_merges": true, "vocab": vocabulary, "merges": [String](),
      ],
    ]
  }

  static let llamaPattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"#
    + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
  static let specialPattern = #"<\|startoftext\|>|<\|endoftext\|>|"#
  static let clipPattern = #"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"#

  static func added(_ content: String, _ id: Int, normalized: Bool = false) -> [String: Any] {
    [
      "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
      "normalized": normalized, "special": true,
    ]
  }

  static func vocabulary(_ tokens: [String]) -> [String: Int] {
    var result: [String: Int] = [:]
    for token in tokens where result[token] == nil { result[token] = result.count }
    return result
  }

  /// The folder of a tokenizer with this `tokenizer.json`.
  static func folder(_ document: [String: Any]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write(JSONSerialization.data(withJSONObject: document), to: "tokenizer.json")
    return folder
  }
}
