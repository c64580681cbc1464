import CPUBackend
import Checkpoints
import Collectives
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Ranks that are threads against one rank.
@Suite struct SequenceParallelTests {
  /// Every product of two numbers from 2 to 8 ranks.
  static let layouts = (2...8).flatMap { ranks in
    (1...ranks).filter { ranks % $0 == 0 }.map { RankLayout(ulysses: $0, ring: ranks / $0) }
  }

  @Test(arguments: layouts)
  func `latents after 4 steps are those of one rank, whatever the layout`(_ layout: RankLayout) throws {
    // Two of the three grids, 5 x 6 x 9 and 3 x 3 x 5 tokens, divide by few numbers.
    for (latents, textTokens, scale): (Shape, Int, Float) in [
      ([1, 16, 5, 12, 18], 77, 1), ([1, 16, 3, 6, 10], 1, 1), ([1, 16, 2, 8, 8], 77, 3),
    ] {
      let sample = TinySample(latents: latents, textTokens: textTokens, guidanceScale: scale)
      let expected = try sample.denoised()
      let results = try LoopbackGroup.run(layout.ranks) { group in
        try sample.denoised(SequenceGroup(group, layout: layout))
      }
      for (rank, result) in results.enumerated() {
        expectClose(result, expected, relative: 1e-5, "\(latents), rank \(rank) of \(layout)")
      }
      #expect(results.allSatisfy { $0.floats() == results[0].floats() }, "ranks of \(layout) differ")
    }
  }

  @Test(arguments: layouts)
  func `a rank sends what the formula says, attention and final projection`(_ layout: RankLayout) throws {
    let sample = TinySample(latents: [1, 16, 3, 16, 20], textTokens: 8, guidanceScale: 1, steps: 1)
    let tokens = 3 * 8 * 10
    let sent = try LoopbackGroup.run(layout.ranks) { group in
      _ = try sample.denoised(SequenceGroup(group, layout: layout))
      return group.statistics.bytesSent
    }
    let configuration = try TinySample.configuration()
    let blocks = configuration.doubleBlockCount + configuration.singleBlockCount
    let attention =
      layout.sentValues(videoTokens: tokens, textTokens: 8, channels: configuration.hiddenSize)
      * Double(blocks * layout.ranks)
    let final = Double(tokens * configuration.patchVolume * configuration.outputChannels * (layout.ranks - 1))
    // What splitting groups takes: two small messages to every rank.
    let measured = Double(sent.reduce(0, +)) / 4
    #expect(abs(measured - attention - final) <= 0.01 * (attention + final), "\(measured) for \(attention + final)")
  }
}

/// A sample of a tiny network with random weights.
struct TinySample: Sendable {
  let latents: Shape
  let textTokens: Int
  let guidanceScale: Float
  var steps = 4

  private static let folder = Goldens.path("transformer/guidance")

  static func configuration() throws -> TransformerConfiguration {
    try TransformerConfiguration(ConfigurationReader(contentsOf: folder + "/config.json"))
  }

  private final class Observer: GenerationObserver {}

  /// Latents after all steps, on one rank or on the ranks of a group.
  /// - Parameters:
  ///   - base: what each rank runs in.
  ///   - makeCache: a cache for each pass of a step.
  func denoised(
    _ ranks: SequenceGroup = SequenceGroup(), in base: ForwardContext = ForwardContext(backend: CPUBackend(threads: 1)),
    observer: (any GenerationObserver)? = nil,
    makeCache: (GuidanceBranch) -> any StepCache = { _ in NoStepCache() }
  ) throws -> Tensor {
    let configuration = try Self.configuration()
    let network = try HunyuanVideoTransformer(
      WeightScope(Checkpoint(path: Self.folder + "/weights.safetensors")), configuration: configuration)
    let count = network.grid(for: latents).reduce(1, *)
    let context = ranks.context(base, tokenCount: count)
    var random = RandomTensors(seed: 11)
    func text() -> EncodedPrompt {
      EncodedPrompt(
        textStates: random.tensor([1, textTokens, configuration.textChannels]),
        pooledText: random.tensor([1, configuration.pooledTextChannels]))
    }
    var request = GenerationRequest(prompt: "x", seed: 1, defaults: ModelDefaults())
    request.cfgScale = guidanceScale
    let scheduler = FlowMatchScheduler(steps: steps, shift: 7, reverse: true)
    let sampler = Sampler(network, in: context)
    let guidance = try sampler.prepare(
      request, prompt: text(), negative: request.usesGuidance ? text() : nil, scheduler: scheduler)
    return try sampler(
      noise: random.tensor(latents), guidance: guidance, scheduler: scheduler, makeCache: makeCache,
      observer: observer ?? Observer())
  }
}
