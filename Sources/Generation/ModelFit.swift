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

  /// The shape of a request's latents: the autoencoder's.
  public func latentShape(_ request: GenerationRequest) -> Shape {
    [
      1, autoencoder.latentChannels, (request.frames - 1) / autoencoder.timeCompression + 1,
      request.roundedHeight / autoencoder.spatialCompression, request.roundedWidth / autoencoder.spatialCompression,
    ]
  }
}
