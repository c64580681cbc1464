import Checkpoints
import Collectives
public import HunyuanVideo
public import Layers
public import TensorCore
import TensorOps
import Tokenizers

/// From requests to frames: encode the prompts, denoise, decode. Stages load their weights when they begin; the text encoders
/// are gone before the transformer is loaded.
public final class VideoPipeline {
  private let model: ModelFolder
  private let contexts: StageContexts
  private let keepsNetworks: Bool
  private let ranks: SequenceGroup
  private let halves: GuidanceHalves?
  private let observer: any GenerationObserver
  private let stage: PipelineStages
  private let decoder: LatentDecoder
  private let readAhead: WeightReadAhead?
  private var transformer: HunyuanVideoTransformer?
  private var knownColorMap: LatentColorMap?

  /// - Parameters:
  ///   - ranks: the ranks that share a sample.
  ///   - halves: the halves that evaluate the prompt and the negative prompt, where `ranks` are one of them.
  ///   - readAhead: keeps weights on disk but for a window; nil leaves them to the system.
  ///   - keepsNetworks: whether transformer and decoder stay for the next video. Where they are copies in memory of a device,
  ///     one gives way to the other.
  public init(
    _ model: ModelFolder, in contexts: StageContexts, ranks: SequenceGroup = SequenceGroup(),
    halves: GuidanceHalves? = nil, readAhead: WeightReadAhead? = nil, keepsNetworks: Bool = true,
    observer: any GenerationObserver
  ) {
    let contexts = contexts.streaming(readAhead)
    (self.model, self.contexts, self.readAhead) = (model, contexts, readAhead)
    stage = PipelineStages(contexts: contexts, observer: observer, network: model.network(named:))
    decoder = LatentDecoder(
      open: model.autoencoderNetwork, adopt: Self.adoption(contexts.autoencoder, readAhead), stages: stage)
    self.keepsNetworks = keepsNetworks
    (self.ranks, self.halves) = (ranks, halves)
    self.observer = observer
  }

  /// All networks in one context.
  public convenience init(
    _ model: ModelFolder, in context: ForwardContext, readAhead: WeightReadAhead? = nil,
    observer: any GenerationObserver
  ) {
    self.init(model, in: StageContexts(context), readAhead: readAhead, observer: observer)
  }

  /// Opens every part of the checkpoint and builds every network from it once, so that a missing, extra or misshapen tensor
  /// is found before anything is computed, and checks what of the requests depends on it. Weights are mapped, not read: this
  /// takes milliseconds.
  public func verify(_ requests: [GenerationRequest]) throws {
    // Each network by itself first: a configuration that contradicts its own tensors is the better news.
    _ = try buildTransformer { $0 }
    try decoder.verify()
    let encoder = try PromptEncoder(model, in: contexts.textEncoders) { $0 }
    try ModelFit(model).requireText(encoder, PromptTokenizer(model), of: model)
    if let suspicion = try model.transformerNetwork().suspicion { observer.warn(suspicion) }
    for request in requests { try requireMatchingNoise(request) }
  }

  /// Encodes the prompts of all requests, each text once, and warns where a text was cut. The first rank does it for all.
  public func encode(_ requests: [GenerationRequest]) throws -> [GenerationTexts] {
    defer { readAhead?.reset() }
    return try stage(.encodePrompts, units: requests.count) {
      let texts = all.rank == 0 ? try encodeHere(requests) : []
      return try requests.indices.map { index in
        GenerationTexts(
          prompt: try shared(texts.isEmpty ? nil : texts[index].prompt),
          negative: requests[index].usesGuidance ? try shared(texts.isEmpty ? nil : texts[index].negative) : nil)
      }
    }
  }

  private func encodeHere(_ requests: [GenerationRequest]) throws -> [GenerationTexts] {
    let tokenizer = try PromptTokenizer(model)
    let encoder = try PromptEncoder(
      model, in: contexts.textEncoders, adopt: Self.adoption(contexts.textEncoders, readAhead))
    readAhead?.beginPhase()
    try ModelFit(model).requireText(encoder, tokenizer, of: model)
    var known: [String: EncodedPrompt] = [:]
    func encoded(_ text: String, frames: Int) throws -> EncodedPrompt {
      let key = "\(frames == 1)\(text)"
      if let prompt = known[key] { return prompt }
      let tokens = try tokenizer(text, frames: frames)
      for (cut, name) in [(tokens.templated, "text encoder"), (tokens.pooled, "text encoder 2")] {
        if let lost = cut.cutText {
          observer.warn(
            "the \(name) takes \(cut.ids.count) of the prompt's \(cut.count) tokens and does not see: "
              + lost.quotedBeginning)
        }
      }
      let prompt = try encoder(tokens)
      known[key] = prompt
      return prompt
    }
    return try requests.map { request in
      defer { observer.stageDidAdvance(.encodePrompts) }
      return GenerationTexts(
        prompt: try encoded(request.prompt, frames: request.frames),
        negative: request.usesGuidance ? try encoded(request.negativePrompt, frames: request.frames) : nil)
    }
  }

  /// Gives the first rank's prompt to all, for their transformers: from device to device where the ranks can do that.
  private func shared(_ prompt: EncodedPrompt?) throws -> EncodedPrompt {
    func shared(_ tensor: Tensor?) throws -> Tensor {
      let mine = try tensor.map { try contexts.handedOver($0) }
      if all.size == 1, let mine { return mine }
      let extents = try all.broadcast((mine?.shape.dimensions ?? []).map(Int64.init), from: 0)
      return try TensorMessages(group: all, backend: contexts.transformer.backend)
        .broadcast(mine, shape: Shape(extents.map { Int($0) }), from: 0)
    }
    return EncodedPrompt(textStates: try shared(prompt?.textStates), pooledText: try shared(prompt?.pooledText))
  }

  /// Takes noise to latents `[1, C, F', H/8, W/8]` in host memory.
  /// - Parameters:
  ///   - state: where to go on instead of beginning with the noise.
  ///   - makeCache: makes a cache for each pass of a step, instead of the request's.
  public func denoise(
    _ request: GenerationRequest, texts: GenerationTexts, from state: SamplerState? = nil,
    makeCache: ((GuidanceBranch) -> any StepCache)? = nil
  ) throws -> Tensor {
    let transformer = try loadedTransformer()
    let scheduler = FlowMatchScheduler(steps: request.steps, shift: request.flowShift, reverse: request.flowReverse)
    let shape = try latentShape(request)
    let sampler = Sampler(
      transformer, in: ranks.context(contexts.transformer), halves: halves, communication: { [all] in all.statistics })
    // Only the text: what comes next in the file is mostly of no use here, and no decision tells otherwise.
    readAhead?.beginPhase(stopsAtDecisions: true)
    let guidance = try stage(.condition) {
      try sampler.prepare(request, prompt: texts.prompt, negative: texts.negative, scheduler: scheduler)
    }
    readAhead?.beginPhase(
      excluding: readAhead?.used ?? [], stopsAtDecisions: makeCache != nil || request.cache != .none)
    try requireMatchingNoise(request)
    if let state { try state.check(fits: shape, steps: scheduler.stepCount) }
    let noise = try request.initialNoise ?? initialNoise(shape, seed: agreedSeed(request.seed))
    return try stage(.denoise, units: scheduler.stepCount - (state?.step ?? 0)) {
      try sampler(
        noise: noise, from: state, guidance: guidance, scheduler: scheduler,
        makeCache: makeCache ?? { [ranks] branch in
          request.cache.makeCache(steps: request.steps, group: ranks.all, branch: branch)
        },
        observer: observer)
    }
  }

  /// Decodes latents; frames are mapped to 0…1 and clamped. Only the first rank's sink is given frames.
  /// - Parameter sharesTiles: whether all ranks decode tiles, or the first alone.
  public func decode(_ latents: Tensor, tiling: Bool, sharesTiles: Bool = true, into sink: any FrameSink) throws {
    if !sharesTiles && all.rank > 0 { return }
    _ = try loadedDecoder()
    // The transformer's blocks are let go.
    readAhead?.beginPhase()
    try decoder.decode(latents, tiling: tiling, group: sharesTiles ? all : SingleProcessGroup(), into: sink)
  }

  /// Gives colours for latents, fitted to this checkpoint's decoder, which is loaded now.
  public func colorMaps() throws -> (Tensor) throws -> LatentColorMap {
    let decoder = try loadedDecoder()
    let map = try knownColorMap ?? stage(.fitPreviews) { try LatentColorMap(decoder, in: contexts.autoencoder) }
    knownColorMap = map
    return { [contexts] in try map.refined(by: $0, decoder, in: contexts.autoencoder) }
  }

  /// The shape of a request's latents for this checkpoint.
  public func latentShape(_ request: GenerationRequest) throws -> Shape { try ModelFit(model).latentShape(request) }

  /// The first rank's seed: ranks that were started without one have drawn different ones.
  private func agreedSeed(_ seed: UInt64) throws -> UInt64 {
    let bytes = withUnsafeBytes(of: seed.littleEndian) { Array($0) }
    return try all.broadcast(bytes, from: 0).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// PyTorch's noise of a seed, drawn whole whatever the number of ranks.
  private func initialNoise(_ shape: Shape, seed: UInt64) -> Tensor {
    var generator = TorchGenerator(seed: seed)
    return generator.normals(shape: shape)
  }

  /// All ranks that make a video together.
  private var all: any ProcessGroup { halves?.all ?? ranks.all }

  // MARK: Loading

  private func loadedTransformer() throws -> HunyuanVideoTransformer {
    if let transformer { return transformer }
    if !keepsNetworks { decoder.unload() }
    let loaded = try stage(.loadTransformer) { try buildTransformer(Self.adoption(contexts.transformer, readAhead)) }
    transformer = loaded
    return loaded
  }

  private func loadedDecoder() throws -> VideoDecoder {
    if !keepsNetworks, transformer != nil {
      transformer = nil
      readAhead?.reset()
    }
    return try decoder.loaded()
  }

  private static func adoption(_ context: ForwardContext, _ readAhead: WeightReadAhead?) -> WeightAdoption {
    { [backend = context.backend] weight in
      // As the device has it: where it is read ahead to is the device's affair.
      let adopted = try backend.adopt(weight)
      readAhead?.register(adopted)
      return adopted
    }
  }

  private func buildTransformer(_ adopt: @escaping WeightAdoption) throws -> HunyuanVideoTransformer {
    let published = try model.transformerNetwork()
    let scope = published.scope(adopt: adopt)
    let network = try HunyuanVideoTransformer(scope, configuration: published.transformerConfiguration())
    try scope.finish()
    return network
  }

  /// Noise from a file must have the latents' shape.
  private func requireMatchingNoise(_ request: GenerationRequest) throws {
    let shape = try latentShape(request)
    if let noise = request.initialNoise, noise.shape != shape || noise.dtype != .float32 {
      throw RequestError(
        "wrong initial noise", at: "--initial-noise", expected: "float32\(shape)", found: "\(noise)",
        remedy: "make noise for this size and length")
    }
  }
}

/// The encoded texts of a request.
public struct GenerationTexts: Sendable {
  public let prompt: EncodedPrompt
  /// With true guidance only.
  public let negative: EncodedPrompt?
}
