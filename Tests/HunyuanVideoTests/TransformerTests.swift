import Checkpoints
import HunyuanVideo
import Layers
import Synchronization
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// What holds for a transformer whatever its weights.
@Suite struct TransformerTests {
  private let context = TestBackend.cpu.context

  private func demo(_ folder: String = "transformer/guidance") throws -> (HunyuanVideoTransformer, GoldenTensors) {
    let path = Goldens.path(folder)
    let network = try HunyuanVideoTransformer(
      WeightScope(Checkpoint(path: path + "/weights.safetensors")),
      configuration: TransformerConfiguration(ConfigurationReader(contentsOf: path + "/config.json")))
    return (network, try Goldens.tensors("\(folder)/expected.safetensors"))
  }

  private func conditioning(
    _ network: HunyuanVideoTransformer, _ golden: GoldenTensors, timesteps: [Float]
  ) throws -> TransformerConditioning {
    try network.conditioning(
      timesteps: timesteps, guidance: 6016,
      textStates: context.backend.contiguous(golden.tensor("text_states").slice(1, 0..<3)),
      pooledText: golden.tensor("text_states_2"), in: context)
  }

  @Test func `conditioning of all steps at once equals that of each step alone`() throws {
    let (network, golden) = try demo()
    let timesteps: [Float] = [1000, 750.5, 125]
    let latents = try golden.tensor("latents")
    let rotary = network.rotaryTable(for: latents.shape)
    let together = try conditioning(network, golden, timesteps: timesteps)
    for (step, timestep) in timesteps.enumerated() {
      let alone = try conditioning(network, golden, timesteps: [timestep])
      expectClose(together.text[step], alone.text[0], relative: 1e-6, "text of step \(step)")
      let expected = try network(
        latents, step: 0, conditioning: alone, rotary: rotary, cache: NoStepCache(), in: context)
      let actual = try network(
        latents, step: step, conditioning: together, rotary: rotary, cache: NoStepCache(), in: context)
      expectClose(actual, expected, relative: 1e-6, "velocity of step \(step)")
    }
  }

  @Test func `every attention is told its sample, its step and its block`() throws {
    let (network, golden) = try demo()
    let latents = try golden.tensor("latents")
    let attention = WitnessedAttention()
    var context = context
    context.jointAttention = attention
    let conditioning = try conditioning(network, golden, timesteps: [1000, 500])
    for step in 0..<2 {
      _ = try network(
        latents, step: step, conditioning: conditioning, rotary: network.rotaryTable(for: latents.shape),
        cache: NoStepCache(), in: context)
    }
    let blocks = network.configuration.doubleBlockCount + network.configuration.singleBlockCount
    let grid = network.grid(for: latents.shape)
    let expected = (0..<2).flatMap { step in
      (0..<blocks).map { AttentionSite(grid: grid, textTokens: 3, step: step, block: $0) }
    }
    #expect(attention.sites.withLock { $0 } == expected)
    #expect(expected[0].ownVideo == 0..<grid.reduce(1, *) && expected[0].ownText == 0..<3)
  }

  @Test func `rotary angles at token (1, 2, 3) are the published ones`() {
    let table = RotaryTable.grid([2, 3, 4], dimensions: [16, 56, 56], theta: 256)
    let token = (1 * 3 + 2) * 4 + 3
    let cosines = table.cosines.select(0, token).floats()
    let sines = table.sines.select(0, token).floats()
    // Channels 0, 2, 14, 16, 18, 72, 74, 126 are pairs 0, 1, 7, 8, 9, 36, 37, 63.
    let pairs = [0, 1, 7, 8, 9, 36, 37, 63]
    let expectedCosines: [Float] = [0.540302, 0.877583, 0.999969, -0.416147, -0.069818, -0.989992, -0.777204, 0.999898]
    let expectedSines: [Float] = [0.841471, 0.479426, 0.007812, 0.909297, 0.997560, 0.141120, 0.629249, 0.014285]
    for (index, pair) in pairs.enumerated() {
      #expect(abs(cosines[pair] - expectedCosines[index]) < 2e-6)
      #expect(abs(sines[pair] - expectedSines[index]) < 2e-6)
    }
  }

  @Test func `the token grid is time slowest and position 0 does not turn`() {
    let table = RotaryTable.grid([2, 2, 2], dimensions: [2, 2, 2], theta: 256)
    #expect(table.cosines.select(0, 0).floats() == [1, 1, 1])
    #expect(table.sines.select(0, 4).floats()[0] > 0.8, "token 4 is the first of the second frame")
    #expect(table.sines.select(0, 1).floats()[2] > 0.8, "token 1 is one column to the right")
  }

  @Test func `scalars become the published sinusoids, cosines first`() {
    let row = ScalarEmbedding.sinusoids(of: [1000, 6016])
    let first = row.select(0, 0).floats()
    let second = row.select(0, 1).floats()
    for (actual, expected) in [
      (first[0], 0.562379), (first[1], 0.789627), (first[2], 0.439983), (first[127], 0.994232), (first[128], 0.826880),
      (first[129], 0.613588), (first[255], 0.107254), (second[0], -0.988781), (second[1], 0.999995),
      (second[128], 0.149371),
    ] as [(Float, Float)] {
      #expect(abs(actual - expected) < 5e-4, "\(actual) is not \(expected)")
    }
  }

  @Test func `a cache that reuses a residual skips every block`() throws {
    final class Reuse: StepCache {
      let residual: Tensor
      let skipped = true
      var finished = false
      init(_ residual: Tensor) { self.residual = residual }
      func decide(
        step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
      ) throws(BackendError) -> StepDecision { .reuse(residual: residual) }
      func finish(
        step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
      ) throws(BackendError) { finished = true }
    }
    final class Record: StepCache {
      let skipped = false
      var residual: Tensor?
      func finish(
        step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
      ) throws(BackendError) { residual = try backend.combination(1, output, -1, input) }
    }
    let (network, golden) = try demo()
    let latents = try golden.tensor("latents")
    let rotary = network.rotaryTable(for: latents.shape)
    let conditioning = try conditioning(network, golden, timesteps: [500])
    let record = Record()
    let computed = try network(
      latents, step: 0, conditioning: conditioning, rotary: rotary, cache: record, in: context)
    let reuse = Reuse(try #require(record.residual))
    let reused = try network(latents, step: 0, conditioning: conditioning, rotary: rotary, cache: reuse, in: context)
    expectClose(reused, computed, relative: 1e-5, "velocity from the residual")
    #expect(!reuse.finished)
  }

  @Test func `a cache that keeps what modules make gets their outputs, and changes no bit`() throws {
    final class Keep: StepCache {
      let skipped = false
      var kept: [BlockModule: TokenStreams] = [:]
      func output(
        of module: BlockModule, step: Int, on backend: any Backend, evaluate: () throws(BackendError) -> TokenStreams
      ) throws(BackendError) -> TokenStreams? {
        if let known = kept[module] { return known }
        let output = try evaluate()
        kept[module] = output
        return output
      }
    }
    let (network, golden) = try demo()
    let latents = try golden.tensor("latents")
    let rotary = network.rotaryTable(for: latents.shape)
    let conditioning = try conditioning(network, golden, timesteps: [500])
    func velocity(_ cache: any StepCache) throws -> [Float] {
      try network(latents, step: 0, conditioning: conditioning, rotary: rotary, cache: cache, in: context).floats()
    }
    let plain = try velocity(NoStepCache())
    let cache = Keep()
    #expect(try velocity(cache) == plain)
    let blocks = (network.configuration.doubleBlockCount, network.configuration.singleBlockCount)
    #expect(cache.kept.count == 2 * blocks.0 + blocks.1)
    #expect(try velocity(cache) == plain, "what was kept goes through the same gates")
  }

  @Test func `weights that are not finite stop the run and name the block`() throws {
    let path = Goldens.path("transformer/guidance")
    let file = try Checkpoint(path: path + "/weights.safetensors")
    let poisoned = file.tensors.map { tensor -> (name: String, tensor: Tensor) in
      guard tensor.name == "single_blocks.1.linear1.bias" else { return (tensor.name, tensor.tensor) }
      var values = tensor.tensor.floats()
      values[3] = .nan
      return (tensor.name, Tensor(values, shape: tensor.shape))
    }
    let network = try HunyuanVideoTransformer(
      WeightScope(Checkpoint(poisoned)),
      configuration: TransformerConfiguration(ConfigurationReader(contentsOf: path + "/config.json")))
    let golden = try Goldens.tensors("transformer/guidance/expected.safetensors")
    let latents = try golden.tensor("latents")
    let error = #expect(throws: BackendError.self) {
      _ = try network(
        latents, step: 0, conditioning: conditioning(network, golden, timesteps: [500]),
        rotary: network.rotaryTable(for: latents.shape), cache: NoStepCache(), in: context)
    }
    #expect("\(try #require(error))".contains("single_blocks.1"))
  }
}

/// Attention of one device that keeps where it was asked for.
private final class WitnessedAttention: JointAttention {
  let sites = Mutex<[AttentionSite]>([])

  func attend(
    video: AttentionInputs, text: AttentionInputs, at site: AttentionSite, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    sites.withLock { $0.append(site) }
    return try LocalJointAttention().attend(video: video, text: text, at: site, on: backend)
  }
}
