import Collectives
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorTesting
import Testing

/// What the busiest of several ranks computes: the bound of what they can save, whatever the machine.
/// `Benchmarks/ranks.py` measures how near they come to it.
@Suite struct RankWorkTests {
  /// One block of each kind of the published width, 4096 video tokens and 256 of text.
  private static let network = Result {
    var configuration = TransformerConfiguration.hyvideoT2Distilled
    (configuration.doubleBlockCount, configuration.singleBlockCount) = (1, 1)
    return try OperationMeter.transformer(configuration)
  }
  private static let (latents, textTokens): (Shape, Int) = ([1, 16, 4, 64, 64], 256)

  /// Operations of a step on each rank, conditioning aside.
  private static func operations(_ layout: RankLayout) throws -> [Double] {
    let network = try network.get()
    let c = network.configuration
    return try LoopbackGroup.run(layout.ranks) { group in
      let meter = OperationMeter()
      let context = try SequenceGroup(group, layout: layout).context(ForwardContext(backend: meter))
      let text = Tensor(repeating: 0, shape: [1, textTokens, c.textChannels])
      let conditioning = try network.conditioning(
        timesteps: [500], guidance: 6016, textStates: text,
        pooledText: Tensor(repeating: 0, shape: [1, c.pooledTextChannels]), in: context)
      let rotary = network.rotaryTable(for: latents)
      _ = meter.take()
      _ = try network(
        Tensor(repeating: 0, shape: latents), step: 0, conditioning: conditioning, rotary: rotary, cache: NoStepCache(),
        in: context)
      return meter.take().operations
    }
  }

  @Test(arguments: (2...8).flatMap(RankLayout.all(of:)))
  func `the busiest rank computes its share, and no more than heads make uneven`(_ layout: RankLayout) throws {
    let configuration = try Self.network.get().configuration
    let (tokens, heads) = (4096, configuration.headCount)
    let whole = try Self.operations(RankLayout(ulysses: 1, ring: 1))[0]
    let attention =
      configuration.operationsPerStep(tokens: tokens, textTokens: Self.textTokens)
      - 2 * configuration.operationsPerStep(tokens: tokens / 2, textTokens: Self.textTokens / 2)
    // Attention grows with the square of the tokens: half the tokens twice is half of it.
    let (linear, square) = (whole - 2 * attention, 2 * attention)
    let busiest = try #require(try Self.operations(layout).max())
    let most = Double(ShardPlan(count: heads, parts: layout.ulysses).size(0)) / Double(heads) / Double(layout.ring)
    let share = linear / Double(layout.ranks) + square * most
    #expect(abs(busiest - share) < 0.01 * share, "\(layout): \(busiest) of \(whole), a share is \(share)")
    // With even heads, ranks are as fast as threads as far as work goes.
    if heads % layout.ulysses == 0 { #expect(whole / busiest > 0.99 * Double(layout.ranks)) }
  }
}
