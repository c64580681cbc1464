import BackendConformance
import CPUBackend
import Checkpoints
import Collectives
import Generation
import HunyuanVideo
import Layers
import Synchronization
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// What a step costs that a cache skips.
@Suite struct StepCacheCostTests {
  /// A rule with parameters that let it skip all it may, and the blocks that run all the same.
  struct Rule: Sendable, CustomTestStringConvertible {
    let method: String
    var options: [String: String] = [:]
    var blocks: [Int] = []
    var extrapolatesModules: Bool { method == "taylorseer" && options["scope"] == nil }
    var testDescription: String { "\(method) \(options.sorted { $0.key < $1.key })" }

    func cache(steps: Int) throws -> any StepCache {
      try StepCacheSettings(method: method, options: options).makeCache(steps: steps, group: SingleProcessGroup())
    }
  }

  static let rules = [
    Rule(method: "teacache", options: ["rel_l1_thresh": "1e9"]),
    Rule(method: "teacache-ascend", options: ["rel_l1_thresh": "1e9"]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "1e9"], blocks: [0]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "1e9", "signal": "output"], blocks: [0]),
    Rule(method: "taylorseer"), Rule(method: "taylorseer", options: ["scope": "velocity"]),
    Rule(method: "easycache", options: ["thresh": "1e9"]),
    Rule(method: "magcache", options: ["thresh": "1e9", "K": "10000", "mag_ratios": "1"]),
  ]

  /// Text, and a cache, through the steps of a sample.
  private static func run(
    _ network: HunyuanVideoTransformer, _ rule: Rule, latents: Shape, steps: Int, in context: ForwardContext,
    each: (_ step: Int, _ skipped: Bool) throws -> Void
  ) throws {
    let c = network.configuration
    var random = RandomTensors(seed: 5)
    let conditioning = try network.conditioning(
      timesteps: (0..<steps).map { 1000 - 1000 * Float($0) / Float(steps) }, guidance: 6016,
      textStates: random.tensor([1, 77, c.textChannels]), pooledText: random.tensor([1, c.pooledTextChannels]),
      in: context)
    let (cache, rotary) = (try rule.cache(steps: steps), network.rotaryTable(for: latents))
    try each(-1, false)
    for step in 0..<steps {
      _ = try network(
        random.tensor(latents), step: step, conditioning: conditioning, rotary: rotary, cache: cache, in: context)
      try each(step, cache.skipped)
    }
  }

  @Test(arguments: rules)
  func `a skipped step of the published network takes under 3 percent of the work and no block's weights`(
    _ rule: Rule
  ) throws {
    let configuration = TransformerConfiguration.hyvideoT2Distilled
    let network = try OperationMeter.transformer(configuration)
    // 1 frame at 256 x 256, 17 frames at 480 x 832: 256 and 7800 tokens. More only make a full step dearer.
    for latents in [[1, 16, 1, 32, 32], [1, 16, 5, 60, 104]] as [Shape] {
      let meter = OperationMeter()
      var (full, skipped): ([OperationMeter.Work], [OperationMeter.Work]) = ([], [])
      try Self.run(network, rule, latents: latents, steps: 12, in: ForwardContext(backend: meter)) { step, isSkipped in
        let work = meter.take()
        if step >= 0 { if isSkipped { skipped.append(work) } else { full.append(work) } }
      }
      let tokens = network.grid(for: latents).reduce(1, *)
      // What a full step takes, without what the cache keeps of it.
      let blocks = configuration.operationsPerStep(tokens: tokens, textTokens: 77)
      // The first makes the modulation of all.
      full[0].operations -= configuration.modulationOperations(steps: 12)
      let dearest = try #require(full.map(\.operations).max())
      #expect(dearest < 1.01 * blocks, "keeping what is to be reused costs \(dearest / blocks - 1)")
      let fullWeights = try #require(full.map(\.weightBytes).min())
      #expect(fullWeights > 1e10)
      for work in skipped {
        #expect(work.operations < 0.03 * blocks, "\(rule): \(work.operations / blocks) of the operations")
        // FBCache reads its first block: of 60 unequal ones, a double-stream block is the larger kind.
        #expect(
          work.weightBytes < (rule.blocks.isEmpty ? 0.001 : 0.03) * fullWeights,
          "\(rule): \(work.weightBytes / fullWeights) of the weights")
        // Extrapolating every module touches every module's tokens; the others touch next to nothing.
        let bytes = work.activationBytes / (full.map(\.activationBytes).min() ?? 1)
        #expect(bytes < (rule.extrapolatesModules ? 0.6 : 0.03), "\(rule): \(bytes) of the activations' bytes")
        // The processors at hand do 16 operations in the time of a byte (160 GFLOP/s, 10 GB/s).
        func time(_ w: OperationMeter.Work) -> Double { w.operations + 16 * (w.activationBytes + w.weightBytes) }
        let share = time(work) / (full.map(time).min() ?? 1)
        #expect(share < 0.03, "\(rule): \(share) of the time")
      }
      #expect(!skipped.isEmpty)
    }
  }

  // MARK: Weights that stay on disk

  /// Memory that remembers which parts of it were asked for, of a parameter that is somewhere else.
  private final class Recording: Storage {
    private let base: any Storage
    private let name: String
    private let log: Log
    init(_ base: any Storage, _ name: String, _ log: Log) { (self.base, self.name, self.log) = (base, name, log) }
    var byteCount: Int { base.byteCount }
    var hostAddress: UnsafeMutableRawPointer? { base.hostAddress }
    func prefetch(_ bytes: Range<Int>) { log.add(name) }
    func release(_ bytes: Range<Int>) {}
  }

  /// Names in the order in which they came.
  private final class Log: Sendable {
    private let names = Mutex<[String]>([])
    func add(_ name: String) { names.withLock { $0.append(name) } }
    func take() -> Set<String> {
      names.withLock { names in
        defer { names.removeAll() }
        return Set(names)
      }
    }
  }

  /// Tells what is used beside what is read ahead.
  private struct Listening: WeightStreaming {
    let readAhead: WeightReadAhead
    let used: Log
    func willUse(_ weight: Weight) {
      used.add(weight.name)
      readAhead.willUse(weight)
    }
    func didServe(_ weight: Weight) { readAhead.didServe(weight) }
    func willDecide() { readAhead.willDecide() }
  }

  @Test(arguments: rules)
  func `a skipped step reads no weights of blocks from disk, neither when it uses them nor ahead`(
    _ rule: Rule
  ) throws {
    let network = try streamed()
    let every = Set(0..<4)
    var skippedSteps = 0
    network.readAhead.beginPhase()
    try Self.run(network.transformer, rule, latents: [1, 16, 2, 6, 8], steps: 12, in: network.context) {
      step, skipped in
      network.readAhead.drain()
      let (read, used) = (network.blocks(network.reads.take()), network.blocks(network.uses.take()))
      if step < 0 {
        return network.readAhead.beginPhase(excluding: network.readAhead.used, stopsAtDecisions: true)
      }
      let expected = skipped ? Set(rule.blocks) : every
      #expect(used == expected, "\(rule): step \(step), used")
      #expect(read == expected, "\(rule): step \(step), read ahead")
      skippedSteps += skipped ? 1 : 0
    }
    #expect(skippedSteps > 2)
  }

  @Test func `the first step reads the modulation of all, and no weight of a block is read before it`() throws {
    let network = try streamed()
    let modulation = Set(
      network.transformer.configuration.parameters.map(\.name).filter { name in
        name.contains("blocks.") && name.contains("mod") && name.hasSuffix("weight") && !name.contains("txt_in")
      })
    #expect(modulation.count == 6)
    network.readAhead.beginPhase(stopsAtDecisions: true)
    try Self.run(
      network.transformer, Rule(method: "none"), latents: [1, 16, 2, 6, 8], steps: 4, in: network.context
    ) { step, _ in
      network.readAhead.drain()
      let (read, used) = (network.reads.take(), network.uses.take())
      let blocks = network.blocks(used)
      if step < 0 {
        #expect(blocks.isEmpty && network.blocks(read).isEmpty)
        return network.readAhead.beginPhase(excluding: network.readAhead.used)
      }
      #expect(blocks == Set(0..<4))
      let expected = step == 0 ? modulation : []
      #expect(used.intersection(modulation) == expected, "step \(step), used")
      #expect(read.intersection(modulation) == expected, "step \(step), read ahead")
    }
  }

  /// A network whose weights are streamed, and who notes that.
  private struct Streamed {
    let transformer: HunyuanVideoTransformer
    let readAhead: WeightReadAhead
    let context: ForwardContext
    let reads: Log
    let uses: Log

    /// The blocks that names belong to: double-stream blocks first.
    func blocks(_ names: Set<String>) -> Set<Int> {
      Set(
        names.compactMap { name in
          let parts = name.split(separator: ".")
          guard parts.count > 1, let index = Int(parts[1]) else { return nil }
          if parts[0] == "double_blocks" { return index }
          return parts[0] == "single_blocks" ? transformer.configuration.doubleBlockCount + index : nil
        })
    }
  }

  /// Two blocks of each kind.
  private func streamed() throws -> Streamed {
    var configuration = TransformerConfiguration.hyvideoT2Distilled
    // Blocks whose matrices are large enough to be streamed.
    (configuration.hiddenSize, configuration.headCount, configuration.rotaryDimensions) = (256, 4, [16, 24, 24])
    (configuration.doubleBlockCount, configuration.singleBlockCount) = (2, 2)
    (configuration.textChannels, configuration.pooledTextChannels) = (32, 24)
    let (reads, uses) = (Log(), Log())
    let readAhead = WeightReadAhead(windowBytes: 1 << 20)
    var random = RandomTensors(seed: 9)
    let tensors = configuration.parameters.map { ($0.name, random.tensor($0.shape, deviation: 0.05)) }
    let scope = WeightScope(Checkpoint(tensors)) { weight in
      let t = weight.tensor
      let recorded = Tensor(
        shape: t.shape, dtype: t.dtype, strides: t.strides, offset: t.offset,
        storage: Recording(t.storage, weight.name, reads))
      let result = Weight(name: weight.name, tensor: recorded)
      readAhead.register(result)
      return result
    }
    let context = ForwardContext(
      backend: CPUBackend(threads: 1), weightStreaming: Listening(readAhead: readAhead, used: uses))
    return Streamed(
      transformer: try HunyuanVideoTransformer(scope, configuration: configuration), readAhead: readAhead,
      context: context, reads: reads, uses: uses)
  }
}
