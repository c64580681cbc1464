public import Tokenizers

/// A prompt as both text encoders get it.
public struct PromptTokens: Sendable {
  /// Through the template, template included.
  public let templated: TokenizedText
  /// For the second encoder, start and end tokens included.
  public let pooled: TokenizedText

  /// Tokens that the transformer sees: those after the template's.
  public var textTokenCount: Int { max(templated.ids.count - templated.prefixCount, 0) }
}

/// Both tokenizers of a checkpoint.
public struct PromptTokenizer: Sendable {
  private let llama: LlamaTokenizer
  private let clip: CLIPTokenizer
  private let defaults: ModelDefaults
  /// Tokens of the second encoder's input, at most.
  static let pooledLimit = 77

  public init(_ model: ModelFolder) throws {
    llama = try LlamaTokenizer(folder: model.tokenizer)
    clip = try CLIPTokenizer(folder: model.tokenizer2)
    defaults = model.defaults
    let templates = [
      ("crop_start", defaults.videoTemplate, defaults.statedPrefixes.video),
      ("crop_start_image", defaults.imageTemplate, defaults.statedPrefixes.image),
    ]
    for (key, template, stated) in templates {
      let count = template.prefixCount(with: llama)
      guard let stated, stated != count else { continue }
      throw RequestError(
        "template is not as long as stated", at: "\(model.root)/model.json: \(key)",
        expected: "\(count), the template's tokens before the prompt", found: "\(stated)",
        remedy: "correct it, or leave it out")
    }
  }

  /// Rows that the embedding tables of both encoders must have.
  var vocabularySizes: (text: Int, pooled: Int) { (llama.vocabularySize, clip.vocabularySize) }

  /// Tokens of a prompt for a clip of `frames` frames; one frame takes the template for pictures, but the length limit
  /// stays that of the template for videos, so a picture's prompt may be longer.
  public func callAsFunction(_ prompt: String, frames: Int) throws -> PromptTokens {
    let template = frames == 1 ? defaults.imageTemplate : defaults.videoTemplate
    let limit = defaults.promptTokens + defaults.videoTemplate.prefixCount(with: llama)
    return PromptTokens(
      templated: template.tokenize(prompt, with: llama, limit: limit),
      pooled: clip.tokenize(PromptTemplate.trimmed(prompt), limit: Self.pooledLimit))
  }
}
