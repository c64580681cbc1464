import BackendConformance
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

/// True guidance whose two passes are made by two halves of the ranks, against one rank that makes both.
@Suite struct GuidanceHalvesTests {
  private final class Steps: GenerationObserver {
    var records: [StepRecord] = []
    func stepDidEnd(_ record: StepRecord) { records.append(record) }
  }

  /// Latents after 6 steps, and how the steps went.
  private static func denoised(
    _ ranks: SequenceGroup = SequenceGroup(), halves: GuidanceHalves? = nil,
    makeCache: (GuidanceBranch) -> any StepCache = { _ in NoStepCache() }
  ) throws -> (latents: Tensor, steps: [StepRecord]) {
    let folder = Goldens.path("transformer/guidance")
    let configuration = try TransformerConfiguration(ConfigurationReader(contentsOf: folder + "/config.json"))
    let network = try HunyuanVideoTransformer(
      WeightScope(Checkpoint(path: folder + "/weights.safetensors")), configuration: configuration)
    let shape: Shape = [1, 16, 3, 6, 10]
    var random = RandomTensors(seed: 11)
    func text() -> EncodedPrompt {
      EncodedPrompt(
        textStates: random.tensor([1, 7, configuration.textChannels]),
        pooledText: random.tensor([1, configuration.pooledTextChannels]))
    }
    var request = GenerationRequest(prompt: "x", seed: 1, defaults: ModelDefaults())
    request.cfgScale = 3
    let scheduler = FlowMatchScheduler(steps: 6, shift: 7, reverse: true)
    let context = ranks.context(ForwardContext(backend: CPUBackend(threads: 1)))
    let sampler = Sampler(network, in: context, halves: halves)
    let guidance = try sampler.prepare(request, prompt: text(), negative: text(), scheduler: scheduler)
    let steps = Steps()
    let latents = try sampler(
      noise: random.tensor(shape), guidance: guidance, scheduler: scheduler, makeCache: makeCache, observer: steps)
    return (latents, steps.records)
  }

  @Test(arguments: [(1, 1), (2, 1), (1, 2), (3, 1), (2, 2)].map { RankLayout(ulysses: $0.0, ring: $0.1) })
  func `two halves of ranks take the steps of one rank`(_ layout: RankLayout) throws {
    let expected = try Self.denoised().latents
    let results = try LoopbackGroup.run(2 * layout.ranks) { group in
      let halves = try GuidanceHalves(group)
      return try Self.denoised(SequenceGroup(halves.half, layout: layout), halves: halves).latents
    }
    for result in results { expectClose(result, expected, relative: 1e-5, "\(layout)") }
    #expect(results.allSatisfy { $0.floats() == results[0].floats() }, "ranks differ")
  }

  /// Stands for the network on the prompt at every second step, on the negative prompt at every third.
  private final class Scripted: StepCache {
    private let period: Int
    private var last: Tensor?
    private(set) var skipped = false

    init(_ branch: GuidanceBranch) { period = branch == .positive ? 2 : 3 }

    func velocity(step: Int, latents: Tensor, on backend: any Backend) throws(BackendError) -> Tensor? {
      skipped = step % period == period - 1
      return skipped ? last : nil
    }

    func finish(step: Int, latents: Tensor, velocity: Tensor, on backend: any Backend) throws(BackendError) {
      last = velocity
    }
  }

  @Test(arguments: [1, 2])
  func `each half decides by its own pass, and steps count both`(_ half: Int) throws {
    let expected = try Self.denoised(makeCache: { Scripted($0) })
    let results = try LoopbackGroup.run(2 * half) { group in
      let halves = try GuidanceHalves(group)
      let layout = RankLayout(ulysses: 1, ring: half)
      return try Self.denoised(
        SequenceGroup(halves.half, layout: layout), halves: halves, makeCache: { Scripted($0) })
    }
    #expect(expected.steps.map(\.passesComputed) == [2, 1, 1, 1, 2, 0])
    for (latents, steps) in results {
      expectClose(latents, expected.latents, relative: 1e-5, "latents")
      #expect(steps.map(\.passesComputed) == expected.steps.map(\.passesComputed))
      #expect(steps.allSatisfy { $0.passes == 2 })
    }
  }
}
