import Checkpoints
import HunyuanVideo
public import Layers
public import TensorCore
import TensorOps
import Tokenizers

/// What the transformer is told about a prompt.
public struct EncodedPrompt: Sendable {
  /// Hidden states of the valid text tokens, `[1, S, C]`.
  public let textStates: Tensor
  /// The second encoder's vector, `[1, C]`.
  public let pooledText: Tensor

  public init(textStates: Tensor, pooledText: Tensor) {
    self.textStates = textStates
    self.pooledText = pooledText
  }
}

/// Both text encoders of a checkpoint. They live as long as this value.
public struct PromptEncoder: Sendable {
  private let llama: LlamaTextEncoder
  private let clip: CLIPTextEncoder
  private let context: ForwardContext

  public init(_ model: ModelFolder, in context: ForwardContext, adopt: @escaping WeightAdoption) throws {
    let published = try PublishedNetwork(path: model.textEncoder, expecting: .llama)
    let llamaConfiguration = try published.llamaConfiguration()
    if model.defaults.skippedLayers >= llamaConfiguration.layerCount {
      throw RequestError(
        "no text encoder layer left", at: "\(model.root)/model.json: hidden_state_skip_layer",
        expected: "less than the \(llamaConfiguration.layerCount) layers of the text encoder",
        found: "\(model.defaults.skippedLayers)", remedy: "the published value is 2")
    }
    let scope = published.scope(adopt: adopt)
    llama = try LlamaTextEncoder(
      scope, configuration: llamaConfiguration,
      skippedLayers: model.defaults.skippedLayers, appliesFinalNorm: model.defaults.appliesFinalNorm)
    try scope.finish()

    let published2 = try PublishedNetwork(path: model.textEncoder2, expecting: .clip)
    let scope2 = published2.scope(adopt: adopt)
    clip = try CLIPTextEncoder(scope2, configuration: published2.clipConfiguration())
    try scope2.finish()
    self.context = context
  }

  /// The number of channels of the hidden states and of the pooled vector.
  public var channels: (text: Int, pooled: Int) {
    (llama.configuration.hiddenSize, clip.configuration.hiddenSize)
  }

  /// The rows of the embedding tables, and the positions of the second encoder.
  var vocabularySizes: (text: Int, pooled: Int) {
    (llama.configuration.vocabularySize, clip.configuration.vocabularySize)
  }
  var pooledPositions: Int { clip.configuration.positionCount }

  /// Encodes valid tokens only: attention is causal and padding comes last, so no valid token ever sees padding.
  public func callAsFunction(_ tokens: PromptTokens) throws -> EncodedPrompt { try self(tokens, in: context) }

  /// The same in another context.
  func callAsFunction(_ tokens: PromptTokens, in context: ForwardContext) throws -> EncodedPrompt {
    let ids = tokens.templated.ids
    let hidden = try llama(Tensor(ids, shape: [1, ids.count]), in: context)
    let pooledIds = tokens.pooled.ids
    let pooled = try clip(Tensor(pooledIds, shape: [1, pooledIds.count]), in: context).pooled
    let text = try context.backend.contiguous(
      hidden.slice(1, min(tokens.templated.prefixCount, ids.count - 1)..<ids.count))
    return EncodedPrompt(textStates: text, pooledText: pooled)
  }
}
