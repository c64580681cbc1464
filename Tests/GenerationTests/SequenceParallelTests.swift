import BackendConformance
import CPUBackend
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
  static let layouts = (2...8).flatMap(RankLayout.all(of:))

  private static let expectedLatents = Result { try TinySample.grid.map { try $0.denoised() } }

  @Test(arguments: layouts)
  func `latents after 4 steps are those of one rank, whatever the layout`(_ layout: RankLayout) throws {
    for (sample, expected) in zip(TinySample.grid, try Self.expectedLatents.get()) {
      let results = try LoopbackGroup.run(layout.ranks) { group in
        try sample.denoised(SequenceGroup(group, layout: layout))
      }
      for (rank, result) in results.enumerated() {
        expectClose(result, expected, relative: 1e-5, "\(sample), rank \(rank) of \(layout)")
      }
      #expect(results.allSatisfy { $0.floats() == results[0].floats() }, "ranks of \(layout) differ")
    }
  }

  @Test(arguments: [RankLayout(ulysses: 1, ring: 8), RankLayout(ulysses: 8, ring: 1), RankLayout(ulysses: 2, ring: 4)])
  func `there may be fewer tokens than ranks`(_ layout: RankLayout) throws {
    for (latents, textTokens): (Shape, Int) in [
      ([1, 4, 1, 2, 2], 1), ([1, 4, 1, 4, 6], 3), ([1, 4, 5, 2, 2], 77),
    ] {
      let sample = TinySample(latents: latents, textTokens: textTokens, transformer: .smallest)
      let expected = try sample.denoised()
      let results = try LoopbackGroup.run(layout.ranks) { group in
        try sample.denoised(SequenceGroup(group, layout: layout))
      }
      for result in results { expectClose(result, expected, relative: 1e-5, "\(sample) on \(layout)") }
    }
  }

  @Test(arguments: [(5, 1), (7, 1), (5, 2), (2, 5), (1, 7), (25, 1)].map { RankLayout(ulysses: $0.0, ring: $0.1) })
  func `24 heads are shared by any number of ranks, and samples may be several`(_ layout: RankLayout) throws {
    let random = RandomTensors(seed: 5)
    for (batch, videoTokens, textTokens) in [(1, 131, 13), (2, 40, 3)] {
      var numbers = random
      let sample = ShardedAttentionSample(
        batch: batch, videoTokens: videoTokens, textTokens: textTokens, heads: 24, headSize: 16
      ) { numbers.tensor($0) }
      let backend = CPUBackend(threads: 1)
      let expected = try LocalJointAttention().attend(
        video: sample.video, text: sample.text, at: sample.site, on: backend)
      let results = try LoopbackGroup.run(layout.ranks) { group in
        try sample.attended(by: SequenceGroup(group, layout: layout), rank: group.rank, on: CPUBackend(threads: 1))
      }
      let video = try backend.concatenate(results.map(\.video), axis: 1)
      let text = try backend.concatenate(results.map(\.text), axis: 1)
      expectClose(video, expected.video, relative: 1e-5, "video, \(batch) samples on \(layout)")
      expectClose(text, expected.text, relative: 1e-5, "text, \(batch) samples on \(layout)")
    }
  }

  @Test(arguments: layouts)
  func `a rank sends what the formula says, attention and final projection`(_ layout: RankLayout) throws {
    let sample = TinySample(latents: [1, 4, 3, 16, 20], textTokens: 8, steps: 1, transformer: .smallest)
    let tokens = 3 * 8 * 10
    let sent = try LoopbackGroup.run(layout.ranks) { group in
      _ = try sample.denoised(SequenceGroup(group, layout: layout))
      return group.statistics.bytesSent
    }
    let configuration = try TinyTransformer.smallest.configuration
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
  /// Above 1 the network also runs on a negative prompt.
  var guidanceScale: Float = 1
  /// As many as the prompt has where nothing is said.
  var negativeTokens: Int?
  var steps = 4
  var transformer = TinyTransformer.golden

  /// Grids of 5 x 6 x 9 and 3 x 3 x 5 tokens, which divide by few numbers, and 2 x 4 x 4, each with a long and a short text
  /// and with true guidance between the two.
  static let grid: [TinySample] = [[1, 4, 5, 12, 18], [1, 4, 3, 6, 10], [1, 4, 2, 8, 8]].flatMap { (latents: Shape) in
    [
      TinySample(latents: latents, textTokens: 77, transformer: .smallest),
      TinySample(latents: latents, textTokens: 1, transformer: .smallest),
      TinySample(latents: latents, textTokens: 77, guidanceScale: 3, negativeTokens: 1, transformer: .smallest),
    ]
  }

  /// Of the network where none is named.
  static func configuration() throws -> TransformerConfiguration { try TinyTransformer.golden.configuration }

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
    let network = try transformer.network
    let configuration = network.configuration
    let context = ranks.context(base)
    var random = RandomTensors(seed: 11)
    func text(_ count: Int) -> EncodedPrompt {
      EncodedPrompt(
        textStates: random.tensor([1, count, configuration.textChannels]),
        pooledText: random.tensor([1, configuration.pooledTextChannels]))
    }
    var request = GenerationRequest(prompt: "x", seed: 1, defaults: ModelDefaults())
    request.cfgScale = guidanceScale
    let scheduler = FlowMatchScheduler(steps: steps, shift: 7, reverse: true)
    let sampler = Sampler(network, in: context)
    let guidance = try sampler.prepare(
      request, prompt: text(textTokens), negative: request.usesGuidance ? text(negativeTokens ?? textTokens) : nil,
      scheduler: scheduler)
    return try sampler(
      noise: random.tensor(latents), guidance: guidance, scheduler: scheduler, makeCache: makeCache,
      observer: observer ?? Observer())
  }
}
