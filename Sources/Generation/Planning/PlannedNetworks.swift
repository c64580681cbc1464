import Checkpoints
import HunyuanVideo
import Layers
import Synchronization
import TensorCore
import TensorOps

/// A network built from the directories of its files, and its parameters in the order of use: no weight is read.
struct PlannedNetwork<Network: Sendable>: Sendable {
  let network: Network
  let weights: [Weight]

  /// - Parameters:
  ///   - adopt: what a device does with each parameter.
  ///   - build: builds the network with what it is given to adopt by.
  init(adopt: @escaping WeightAdoption, build: (@escaping WeightAdoption) throws -> Network) throws {
    let taken = Mutex<[Weight]>([])
    network = try build { weight in
      let adopted = try adopt(weight)
      taken.withLock { $0.append(adopted) }
      return adopted
    }
    weights = taken.withLock { $0 }
  }
}

/// The networks of a checkpoint. Where a device computes in the host's memory one set serves any number of plans; a device with
/// memory of its own is given each when its stage begins.
struct PlannedNetworks {
  private let model: ModelFolder
  /// Those that stay; on a device with memory of its own, as the checkpoint has them.
  let transformer: PlannedNetwork<HunyuanVideoTransformer>
  private let encoder: PlannedNetwork<PromptEncoder>
  private let decoder: PlannedNetwork<VideoDecoder>
  let fit: ModelFit
  /// What building each took.
  let seconds: [GenerationStage: Double]

  init(_ model: ModelFolder, on backends: PlanningBackends) throws {
    self.model = model
    let clock = ContinuousClock()
    fit = try ModelFit(model)
    let start = clock.now
    encoder = try Self.encoder(
      model, ForwardContext(backend: backends.textEncoders), Self.keeping(on: backends.textEncoders))
    let encoded = clock.now
    transformer = try Self.transformer(model, Self.keeping(on: backends.transformer))
    let transformed = clock.now
    decoder = try Self.decoder(model, Self.keeping(on: backends.autoencoder))
    seconds = [
      .encodePrompts: start.duration(to: encoded) / .seconds(1),
      .loadTransformer: encoded.duration(to: transformed) / .seconds(1),
      .loadDecoder: transformed.duration(to: clock.now) / .seconds(1),
    ]
  }

  private static func keeping(on backend: any PlanningBackend) -> WeightAdoption {
    { backend.hasOwnMemory ? $0 : try backend.adopt($0) }
  }

  /// Checks the tokenizers, too, before anything is walked.
  func requireText(_ tokenizer: PromptTokenizer) throws { try fit.requireText(encoder.network, tokenizer, of: model) }

  // MARK: For a stage

  func loadedEncoder(
    in context: ForwardContext, on backend: any PlanningBackend
  ) throws -> PlannedNetwork<PromptEncoder> {
    backend.hasOwnMemory ? try Self.encoder(model, context) { try backend.adopt($0) } : encoder
  }

  func loadedTransformer(on backend: any PlanningBackend) throws -> PlannedNetwork<HunyuanVideoTransformer> {
    backend.hasOwnMemory ? try Self.transformer(model) { try backend.adopt($0) } : transformer
  }

  func loadedDecoder(on backend: any PlanningBackend) throws -> PlannedNetwork<VideoDecoder> {
    backend.hasOwnMemory ? try Self.decoder(model) { try backend.adopt($0) } : decoder
  }

  // MARK: Building

  private static func encoder(
    _ model: ModelFolder, _ context: ForwardContext, _ adopt: @escaping WeightAdoption
  ) throws -> PlannedNetwork<PromptEncoder> {
    try PlannedNetwork(adopt: adopt) { try PromptEncoder(model, in: context, adopt: $0) }
  }

  private static func transformer(
    _ model: ModelFolder, _ adopt: @escaping WeightAdoption
  ) throws -> PlannedNetwork<HunyuanVideoTransformer> {
    try PlannedNetwork(adopt: adopt) { adopt in
      let file = try model.transformerNetwork()
      let scope = file.scope(adopt: adopt)
      let network = try HunyuanVideoTransformer(scope, configuration: file.transformerConfiguration())
      try scope.finish()
      return network
    }
  }

  private static func decoder(
    _ model: ModelFolder, _ adopt: @escaping WeightAdoption
  ) throws -> PlannedNetwork<VideoDecoder> {
    try PlannedNetwork(adopt: adopt) { adopt in
      let file = try model.autoencoderNetwork()
      let scope = file.scope(adopt: adopt)
      let network = try VideoDecoder(scope, configuration: file.autoencoderConfiguration())
      try scope.finish()
      return network
    }
  }
}
