import Checkpoints
public import HunyuanVideo
public import TensorCore

/// Whether the networks of a checkpoint fit each other, told by their files' directories alone.
public struct ModelFit: Sendable {
  public let transformer: TransformerConfiguration
  public let autoencoder: AutoencoderConfiguration

  /// - Throws: `RequestError` where the transformer's latents are not the autoencoder's or the encoders' texts are not the
  ///   transformer's; `CheckpointError` where a file cannot be read or holds another network.
  init(_ model: ModelFolder) throws {
    transformer = try model.transformerNetwork().transformerConfiguration()
    autoencoder = try model.autoencoderNetwork().autoencoderConfiguration()
    let latents = autoencoder.latentChannels
    for (channels, what) in [(transformer.inputChannels, "input"), (transformer.outputChannels, "output")]
    where channels != latents {
      throw RequestError(
        "autoencoder does not fit the transformer", at: model.autoencoder,
        expected: "latents of \(channels) channels, as the transformer's \(what) has", found: "\(latents)",
        remedy: "use the autoencoder and the transformer of one release")
    }
  }

  /// The text encoders must take what the tokenizers give and give what the transformer takes.
  /// - Throws: `RequestError`
  func requireText(
    _ encoder: PromptEncoder, _ tokenizer: PromptTokenizer, of model: ModelFolder
  ) throws(RequestError) {
    let rows = [
      (model.textEncoder, tokenizer.vocabularySizes.text, encoder.vocabularySizes.text, "rows of token embeddings"),
      (
        model.textEncoder2, tokenizer.vocabularySizes.pooled, encoder.vocabularySizes.pooled, "rows of token embeddings"
      ),
      (model.textEncoder2, PromptTokenizer.pooledLimit, encoder.pooledPositions, "positions"),
    ]
    for (path, needed, found, what) in rows where found < needed {
      throw RequestError(
        "tokenizer does not fit its text encoder", at: path, expected: "at least \(needed) \(what)", found: "\(found)",
        remedy: "use the tokenizer that was published with these weights")
    }
    let pairs = [
      (model.textEncoder, encoder.channels.text, transformer.textChannels),
      (model.textEncoder2, encoder.channels.pooled, transformer.pooledTextChannels),
    ]
    for (path, found, expected) in pairs where found != expected {
      throw RequestError(
        "text encoder does not fit the transformer", at: path, expected: "\(expected) channels", found: "\(found)",
        remedy: "use the encoders that the transformer was trained with")
    }
  }

  /// The shape of a request's latents: the autoencoder's.
  public func latentShape(_ request: GenerationRequest) -> Shape {
    [
      1, autoencoder.latentChannels, (request.frames - 1) / autoencoder.timeCompression + 1,
      request.roundedHeight / autoencoder.spatialCompression, request.roundedWidth / autoencoder.spatialCompression,
    ]
  }
}
