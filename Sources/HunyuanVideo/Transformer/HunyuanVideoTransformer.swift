public import Checkpoints
public import Layers
public import TensorCore
public import TensorOps

/// The HunyuanVideo diffusion transformer: latents, text and a timestep to the velocity of the flow.
///
/// Reference: `hyvideo/modules/models.py`, `HYVideoDiffusionTransformer`; "HunyuanVideo: A Systematic Framework For Large
/// Video Generative Models", section 4.
public struct HunyuanVideoTransformer: Sendable {
  public let configuration: TransformerConfiguration
  private let patchEmbedding: PatchEmbedding
  private let tokenRefiner: TokenRefiner
  private let timeEmbedding: ScalarEmbedding
  private let pooledTextEmbedding: MultiLayerPerceptron
  private let guidanceEmbedding: ScalarEmbedding?
  private let doubleBlocks: [DoubleStreamBlock]
  private let singleBlocks: [SingleStreamBlock]
  private let finalLayer: FinalLayer

  /// Reads the network from a checkpoint in Tencent's names.
  public init(_ scope: WeightScope, configuration: TransformerConfiguration) throws(CheckpointError) {
    self.configuration = configuration
    let channels = configuration.hiddenSize
    patchEmbedding = try PatchEmbedding(scope["img_in"], configuration)
    tokenRefiner = try TokenRefiner(scope["txt_in"], configuration)
    timeEmbedding = try ScalarEmbedding(scope["time_in"], channels: channels)
    pooledTextEmbedding = try MultiLayerPerceptron(
      scope["vector_in"], names: ("in_layer", "out_layer"), inputs: configuration.pooledTextChannels,
      hidden: channels, outputs: channels, activation: .silu)
    guidanceEmbedding =
      configuration.hasGuidanceEmbedding ? try ScalarEmbedding(scope["guidance_in"], channels: channels) : nil
    var doubleBlocks: [DoubleStreamBlock] = []
    for index in 0..<configuration.doubleBlockCount {
      doubleBlocks.append(try DoubleStreamBlock(scope["double_blocks"][index], configuration))
    }
    var singleBlocks: [SingleStreamBlock] = []
    for index in 0..<configuration.singleBlockCount {
      singleBlocks.append(try SingleStreamBlock(scope["single_blocks"][index], configuration))
    }
    self.doubleBlocks = doubleBlocks
    self.singleBlocks = singleBlocks
    finalLayer = try FinalLayer(scope["final_layer"], configuration)
  }

  /// Computes what does not depend on the latents, for all steps: the text now, each block's modulation when the block first runs.
  /// - Parameters:
  ///   - timesteps: `1000 · sigma` of each step.
  ///   - guidance: the guidance input, for example 6016; ignored by a network without guidance embedding.
  ///   - textStates: hidden states of the valid text tokens, `[1, S, textChannels]`.
  ///   - pooledText: the second encoder's vector, `[1, pooledTextChannels]`.
  public func conditioning(
    timesteps: [Float], guidance: Float, textStates: Tensor, pooledText: Tensor, in context: ForwardContext
  ) throws(BackendError) -> TransformerConditioning {
    let backend = context.backend

    // 1. vec = (time + pooled text) + guidance, in this order.
    let pooled = try pooledTextEmbedding(pooledText, in: context)
    let everyStep = try backend.concatenate([Tensor](repeating: pooled, count: timesteps.count), axis: 0)
    var vectors = try backend.residual(timeEmbedding(timesteps, in: context), gate: nil, everyStep)
    if let guidanceEmbedding {
      let values = [Float](repeating: guidance, count: timesteps.count)
      vectors = try backend.residual(vectors, gate: nil, guidanceEmbedding(values, in: context))
    }
    try context.endBlock(BlockName("transformer", "time_in, vector_in, guidance_in"), ["conditioning": vectors])

    // 2. Text tokens.
    let text = try tokenRefiner(textStates, timesteps: timesteps, in: context)

    // 3. Modulation of every block, when it is asked for.
    let activated = try backend.activate(vectors, .silu)
    func deferred(_ modulation: Modulation) -> DeferredModulation { DeferredModulation(modulation, of: activated) }
    return TransformerConditioning(
      timesteps: timesteps, vectors: vectors, text: text,
      doubleBlocks: doubleBlocks.map { (deferred($0.video.modulation), deferred($0.text.modulation)) },
      singleBlocks: singleBlocks.map { deferred($0.modulation) },
      finalLayer: try finalLayer.modulation(activated, in: context))
  }

  /// The extents of the token grid for latents `[B, C, F, H, W]`.
  public func grid(for latents: Shape) -> [Int] {
    zip(latents.dimensions[2...], configuration.patchSize).map { $0 / $1 }
  }

  /// Position angles for latents of a shape; the same for all steps.
  public func rotaryTable(for latents: Shape) -> RotaryTable {
    .grid(grid(for: latents), dimensions: configuration.rotaryDimensions, theta: configuration.rotaryTheta)
  }

  /// The velocity `[1, C, F, H, W]` at one step.
  /// - Parameters:
  ///   - latents: `[1, C, F, H, W]`.
  ///   - cache: may let blocks be skipped.
  public func callAsFunction(
    _ latents: Tensor, step: Int, conditioning: TransformerConditioning, rotary: RotaryTable, cache: any StepCache,
    in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    if let velocity = try cache.velocity(step: step, latents: latents, on: context.backend) { return velocity }
    let text = conditioning.text[step]
    let context = context.sample(grid: grid(for: latents.shape), textTokens: text.shape[1], step: step)
    let input = try patchEmbedding(latents, in: context)
    try context.endBlock(BlockName("transformer", step: step, "img_in"), ["video tokens": input])
    let ownText = text.slice(1, context.tokens.range(of: text.shape[1]))
    let output = try runBlocks(
      TokenStreams(video: input, text: ownText), step: step, conditioning: conditioning,
      rotary: rotary.tokens(context.tokens.range(of: rotary.count)), cache: cache, in: context)
    let velocity = try finalLayer(
      output, table: conditioning.finalLayer, step: step, grid: grid(for: latents.shape), in: context)
    try context.endBlock(BlockName("transformer", step: step, "final_layer"), ["velocity": velocity])
    try cache.finish(step: step, latents: latents, velocity: velocity, on: context.backend)
    return velocity
  }

  /// Video tokens after all blocks, or what the cache puts in their place.
  private func runBlocks(
    _ input: TokenStreams, step: Int, conditioning: TransformerConditioning, rotary: RotaryTable,
    cache: any StepCache, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    let backend = context.backend
    func modulation(_ deferred: DeferredModulation) throws(BackendError) -> StreamModulation {
      StreamModulation(try deferred.table(in: context), step: step)
    }
    context.weightStreaming?.willDecide()
    let decision = try cache.decide(
      step: step,
      modulatedInput: { () throws(BackendError) in
        try modulation(conditioning.doubleBlocks[0].video).attention.normalized(input.video, in: context)
      }, on: backend)
    if case .reuse(let residual) = decision {
      return try backend.residual(input.video, gate: nil, residual)
    }

    var x = input
    var firstBlockOutput = input.video
    for (index, block) in doubleBlocks.enumerated() {
      let modules = BlockModules(cache: cache, block: index, step: step, backend: backend)
      let (video, text) = conditioning.doubleBlocks[index]
      x = try block(
        x, video: modulation(video), text: modulation(text), rotary: rotary, modules: modules,
        in: context.inBlock(index))
      try context.endBlock(BlockName("transformer", step: step, "double_blocks", index), x.named)
      if index == 0 {
        firstBlockOutput = x.video
        context.weightStreaming?.willDecide()
        let decision = try cache.decide(step: step, firstBlockOutput: x.video, input: input.video, on: backend)
        if case .reuse(let residual) = decision { return try backend.residual(x.video, gate: nil, residual) }
      }
    }
    for (index, block) in singleBlocks.enumerated() {
      let vectors = ModulationVectors(try conditioning.singleBlocks[index].table(in: context), step: step)
      let place = doubleBlocks.count + index
      let modules = BlockModules(cache: cache, block: place, step: step, backend: backend)
      x = try block(x, vectors, rotary: rotary, modules: modules, in: context.inBlock(place))
      try context.endBlock(BlockName("transformer", step: step, "single_blocks", index), x.named)
    }
    try cache.finish(
      step: step, input: input.video, firstBlockOutput: firstBlockOutput, output: x.video, on: backend)
    return x.video
  }
}
