import Checkpoints
import HunyuanVideo
public import Layers
import TensorCore
import TensorOps

/// A piece of work that is ready to be timed: weights are in memory, inputs made.
public struct BenchmarkWork {
  /// Multiplications and additions, each counted.
  public let operations: Double
  private let body: (ForwardContext) throws -> Void
  /// The file that weights are in, where they are not made for the benchmark.
  public let file: BenchmarkFile?

  init(operations: Double, file: BenchmarkFile? = nil, body: @escaping (ForwardContext) throws -> Void) {
    (self.operations, self.file, self.body) = (operations, file, body)
  }

  /// Does the work once, in the context that it was prepared in or in another on the same device, and waits for it.
  public func run(in context: ForwardContext) throws {
    try body(context)
    try context.backend.synchronize()
  }

  /// Prepares what a request asks for; nil for the processor's peak, which is no work of a network.
  /// - Parameter file: a transformer's weights to take instead of random ones.
  public static func prepare(
    _ request: BenchmarkRequest, weights file: BenchmarkFile? = nil, in context: ForwardContext
  ) throws -> BenchmarkWork? {
    let format = request.format ?? .f32
    func size(_ name: BenchmarkSize) -> Int { request.sizes[name] ?? 0 }
    switch request.kind {
    case .peak: return nil
    case .linear:
      return try linear(
        rows: size(.tokens), inputs: size(.width), outputs: size(.outputs), format: format, in: context)
    case .attention:
      return attention(
        tokens: size(.tokens), textTokens: size(.textTokens), heads: size(.heads), head: size(.width) / size(.heads))
    case .doubleBlock, .singleBlock:
      let isDouble = request.kind == .doubleBlock
      return try step(
        .benchmark(size, doubleBlocks: isDouble ? 1 : 0, singleBlocks: isDouble ? 0 : 1),
        latents: [1, 16, 1, 2, 2 * size(.tokens)], textTokens: size(.textTokens), format: format, in: context)
    case .step:
      let shape = latents(frames: size(.frames), size: size(.size))
      if let file { return try step(of: file, latents: shape, textTokens: size(.textTokens), in: context) }
      let whole = TransformerConfiguration()
      return try step(
        .benchmark(size, doubleBlocks: whole.doubleBlockCount, singleBlocks: whole.singleBlockCount),
        latents: shape, textTokens: size(.textTokens), format: format, in: context)
    case .vae:
      return try decoder(latents(frames: size(.frames), size: size(.size)), format: format, in: context)
    case .textEncoder: return try languageModelLayer(tokens: size(.tokens), format: format, in: context)
    }
  }

  private static func latents(frames: Int, size: Int) -> Shape { [1, 16, (frames - 1) / 4 + 1, size / 8, size / 8] }

  private static func linear(
    rows: Int, inputs: Int, outputs: Int, format: BenchmarkFormat, in context: ForwardContext
  ) throws -> BenchmarkWork {
    var weights = BenchmarkWeights(format)
    weights.addLayer("linear", [outputs, inputs])
    let layer = try Linear(weights.scope(on: context.backend)["linear"], inputs: inputs, outputs: outputs)
    let x = try context.backend.upload(benchmarkActivations([1, rows, inputs]))
    return BenchmarkWork(operations: 2 * Double(rows) * Double(inputs) * Double(outputs)) { context in
      _ = try layer(x, in: context)
    }
  }

  private static func attention(
    tokens: Int, textTokens: Int, heads: Int, head: Int
  ) -> BenchmarkWork {
    func inputs(_ count: Int) -> AttentionInputs {
      let x = benchmarkActivations([1, count, heads, head])
      return AttentionInputs(query: x, key: x, value: x)
    }
    let (video, text) = (inputs(tokens), inputs(textTokens))
    let total = Double(tokens + textTokens)
    return BenchmarkWork(operations: 4 * total * total * Double(heads * head)) { context in
      _ = try context.sample(grid: [1, 1, tokens], textTokens: textTokens, step: 0).attention(video: video, text: text)
    }
  }

  /// One step of a transformer, embedding and final layer included.
  private static func step(
    _ configuration: TransformerConfiguration, latents shape: Shape, textTokens: Int, format: BenchmarkFormat,
    in context: ForwardContext
  ) throws -> BenchmarkWork {
    let scope = BenchmarkWeights.transformer(configuration, format).scope(on: context.backend)
    let transformer = try HunyuanVideoTransformer(scope, configuration: configuration)
    try scope.finish()
    return try step(transformer, latents: shape, textTokens: textTokens, in: context)
  }

  /// One step of a transformer whose weights are in a file. What only the conditioning uses is let go after it.
  private static func step(
    of file: BenchmarkFile, latents shape: Shape, textTokens: Int, in context: ForwardContext
  ) throws -> BenchmarkWork {
    try file.preparing {
      let transformer = try file.transformer(on: context.backend)
      var streaming = context
      streaming.weightStreaming = file.readAhead
      file.readAhead.beginPhase(stopsAtDecisions: true)
      let work = try step(transformer, latents: shape, textTokens: textTokens, file: file, in: streaming)
      file.conditioningDidEnd()
      return work
    }
  }

  private static func step(
    _ transformer: HunyuanVideoTransformer, latents shape: Shape, textTokens: Int, file: BenchmarkFile? = nil,
    in context: ForwardContext
  ) throws -> BenchmarkWork {
    let configuration = transformer.configuration
    let conditioning = try transformer.conditioning(
      timesteps: [500], guidance: 6016,
      textStates: context.backend.upload(benchmarkActivations([1, textTokens, configuration.textChannels])),
      pooledText: context.backend.upload(benchmarkActivations([1, configuration.pooledTextChannels])), in: context)
    let rotary = transformer.rotaryTable(for: shape)
    let latents = try context.backend.upload(benchmarkActivations(shape))
    let tokens = transformer.grid(for: shape).reduce(1, *)
    return BenchmarkWork(
      operations: configuration.operationsPerStep(tokens: tokens, textTokens: textTokens), file: file
    ) { context in
      _ = try transformer(
        latents, step: 0, conditioning: conditioning, rotary: rotary, cache: NoStepCache(), in: context)
    }
  }

  private static func decoder(
    _ shape: Shape, format: BenchmarkFormat, in context: ForwardContext
  ) throws -> BenchmarkWork {
    let configuration = AutoencoderConfiguration.hunyuanVideo
    let scope = BenchmarkWeights.decoder(configuration, format).scope(on: context.backend)
    let decoder = try VideoDecoder(scope, configuration: configuration)
    try scope.finish()
    let latents = benchmarkActivations(shape)
    let operations = TilePlan(configuration).tiles(of: shape).reduce(0) {
      $0 + configuration.decoderOperations(latents: $1)
    }
    return BenchmarkWork(operations: operations) { context in
      try TiledDecoder(decoder, tiling: true, in: context).decode(latents) { _ in }
    }
  }

  private static func languageModelLayer(
    tokens: Int, format: BenchmarkFormat, in context: ForwardContext
  ) throws -> BenchmarkWork {
    var configuration = LlamaConfiguration.llama3Of8Billion
    configuration.layerCount = 3  // the last two are not computed
    configuration.vocabularySize = 256
    let c = configuration
    let model = try LlamaTextEncoder(
      BenchmarkWeights.languageModelLayer(c, format).scope(on: context.backend), configuration: c)
    let ids = Tensor((0..<tokens).map { Int32($0 % c.vocabularySize) }, shape: [1, tokens])
    let keyWidth = c.keyValueHeadCount * c.headDimension
    let weights = c.hiddenSize * (2 * c.hiddenSize + 2 * keyWidth + 3 * c.mlpHiddenSize)
    let seen = Double(tokens) * Double(tokens + 1) / 2
    return BenchmarkWork(operations: 2 * Double(tokens) * Double(weights) + 4 * seen * Double(c.hiddenSize)) {
      context in
      _ = try model(ids, in: context)
    }
  }
}

extension TransformerConfiguration {
  /// The published network with another width and depth, and without what is computed before the loop.
  fileprivate static func benchmark(
    _ size: (BenchmarkSize) -> Int, doubleBlocks: Int, singleBlocks: Int
  ) -> TransformerConfiguration {
    var configuration = TransformerConfiguration()
    configuration.hiddenSize = size(.width)
    configuration.headCount = size(.heads)
    configuration.doubleBlockCount = doubleBlocks
    configuration.singleBlockCount = singleBlocks
    configuration.refinerBlockCount = 0
    let time = configuration.headDimension / 8 / 2 * 2
    let side = (configuration.headDimension - time) / 2
    configuration.rotaryDimensions = [time, side, side]
    return configuration
  }
}

extension TilePlan {
  /// The shapes of latents that are decoded one after the other.
  fileprivate func tiles(of latents: Shape) -> [Shape] {
    let frames = tilesTime(frames: latents[2]) ? time.spans(count: latents[2]).map(\.count) : [latents[2]]
    let isCut = tilesSpace(height: latents[3], width: latents[4])
    let rows = isCut ? space.spans(count: latents[3]).map(\.count) : [latents[3]]
    let columns = isCut ? space.spans(count: latents[4]).map(\.count) : [latents[4]]
    var tiles: [Shape] = []
    for f in frames { for h in rows { for w in columns { tiles.append([latents[0], latents[1], f, h, w]) } } }
    return tiles
  }
}
