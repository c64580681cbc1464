/// The text put around a prompt before LLaMA sees it.
///
/// The transformer was trained on the hidden states of the prompt inside an instruction; those of the tokens in front
/// of the prompt are dropped afterwards (``prefixCount(with:)``). Texts from Tencent's `hyvideo/constants.py`.
public struct PromptTemplate: Equatable, Sendable {
  /// The template's name in the published configuration.
  public let name: String
  /// What stands before the prompt.
  public let prefix: String
  /// What stands after the prompt.
  public let suffix: String

  private init(name: String, prefix: String, suffix: String) {
    self.name = name
    self.prefix = prefix
    self.suffix = suffix
  }

  /// A template from its text, in which `{}` marks the place of the prompt.
  ///
  /// - Throws: ``TokenizerError/malformed(_:)`` where `{}` does not occur exactly once.
  public init(name: String, text: String) throws(TokenizerError) {
    let utf8 = Array(text.utf8)
    let places = utf8.indices.dropLast().filter { utf8[$0] == UInt8(ascii: "{") && utf8[$0 + 1] == UInt8(ascii: "}") }
    guard let place = places.first, places.count == 1 else {
      throw .malformed(
        .init(
          what: "malformed prompt template", file: name, expected: "{} once, in the place of the prompt",
          found: places.isEmpty ? "none" : "it \(places.count) times", remedy: "correct the template"))
    }
    self.init(
      name: name, prefix: String(decoding: utf8[..<place], as: UTF8.self),
      suffix: String(decoding: utf8[(place + 2)...], as: UTF8.self))
  }

  /// The template's text, with `{}` in the place of the prompt.
  public var text: String { prefix + "{}" + suffix }

  /// The text LLaMA sees: the template around the prompt without its leading and trailing white space.
  public func applied(to prompt: String) -> String { prefix + Self.trimmed(prompt) + suffix }

  /// How many tokens stand in front of the prompt, the begin token included: the hidden states to drop.
  ///
  /// 95 for ``video`` and 36 for ``image`` with the published tokenizer.
  public func prefixCount(with tokenizer: LlamaTokenizer) -> Int {
    tokenizer.tokenize(prefix).count - tokenizer.suffixIDs.count
  }

  /// The ids of the template around the prompt, cut at the right to `limit` tokens.
  ///
  /// A prompt that is too long loses its end, and the template's closing token with it, as in the published program.
  ///
  /// - Parameter limit: the most tokens in all: 256 for the prompt plus ``prefixCount(with:)`` of ``video``.
  /// - Precondition: `limit` has room for the tokens that the tokenizer puts around every text.
  public func tokenize(_ prompt: String, with tokenizer: LlamaTokenizer, limit: Int? = nil) -> TokenizedText {
    let prompt = Self.trimmed(prompt)
    let start = prefix.utf8.count
    return tokenizer.tokenize(
      prefix + prompt + suffix, limit: limit, prefixCount: prefixCount(with: tokenizer),
      prompt: start..<start + prompt.utf8.count)
  }

  /// A text without white space at its ends, by Python's idea of it: four separator control characters count.
  public static func trimmed(_ text: String) -> String {
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
      scalar.properties.isWhitespace || ("\u{1C}"..."\u{1F}").contains(scalar)
    }
    let scalars = text.unicodeScalars
    guard
      let first = scalars.firstIndex(where: { !isSpace($0) }), let last = scalars.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return String(scalars[first...last])
  }
}

extension PromptTemplate {
  /// `dit-llm-encode-video`: the template for videos.
  public static let video = PromptTemplate(
    name: "dit-llm-encode-video",
    prefix: systemStart
      + "Describe the video by detailing the following aspects: "
      + "1. The main content and theme of the video."
      + "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
      + "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects."
      + "4. background environment, light, style and atmosphere."
      + "5. camera angles, movements, and transitions used in the video:"
      + userStart,
    suffix: "<|eot_id|>")

  /// `dit-llm-encode`: the template for single images.
  public static let image = PromptTemplate(
    name: "dit-llm-encode",
    prefix: systemStart
      + "Describe the image by detailing the color, shape, size, texture, quantity, text, "
      + "spatial relationships of the objects and background:"
      + userStart,
    suffix: "<|eot_id|>")

  /// The negative prompt that is used where guidance needs one and none is given.
  public static let defaultNegativePrompt =
    "Aerial view, aerial view, overexposed, low quality, deformation, a poor composition, bad hands, bad teeth, "
    + "bad eyes, bad limbs, distortion"

  private static let systemStart = "<|start_header_id|>system<|end_header_id|>\n\n"
  private static let userStart = "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
}
