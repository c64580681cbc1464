import BackendConformance
import CPUBackend
import Checkpoints
import Foundation
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite struct PlanningTests {
  private let prompt = "A red ball moves from left to right on a black background."

  private func planner(_ path: String = Goldens.repositoryPath("Models/demo")) throws -> (RunPlanner, ModelFolder) {
    let model = try ModelFolder(path)
    let backend = CPUBackend(threads: 2)
    return (try RunPlanner(model) { _ in PlanningBackends(CPUPlanningBackend(for: backend)) }, model)
  }

  private func request(
    _ model: ModelFolder, _ height: Int = 64, _ width: Int = 64, frames: Int = 17, steps: Int = 4
  ) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt, seed: 1, defaults: model.defaults)
    (request.height, request.width, request.frames, request.steps) = (height, width, frames, steps)
    return request
  }

  @Test(arguments: [(64, 64, 17), (96, 160, 5), (64, 64, 1), (320, 256, 33)])
  func `a step's operations are those of the network's formula`(_ size: (height: Int, width: Int, frames: Int)) throws {
    let (planner, model) = try planner()
    let request = request(model, size.height, size.width, frames: size.frames)
    let plan = try planner.plan([request], setting: PlanSetting())
    let tokens = try PromptTokenizer(model)(prompt, frames: size.frames).textTokenCount
    let configuration = try model.transformerNetwork().transformerConfiguration()
    let expected = configuration.operationsPerStep(
      tokens: ((size.frames - 1) / 4 + 1) * (size.height / 16) * (size.width / 16), textTokens: tokens)
    #expect(abs(plan.denseStep.total.operations / expected - 1) < 1e-9)
    #expect(plan[.denoise]?.units == 4)
    let all = 4 * expected + configuration.modulationOperations(steps: 4)
    #expect(abs((plan[.denoise]?.work.total.operations ?? 0) / all - 1) < 1e-9)
  }

  @Test func `a linear layer that is added to a stream is one operation, which reads the stream`() throws {
    let planner = CPUPlanningBackend(for: CPUBackend(threads: 2))
    let weight = Weight(name: "weight", tensor: Tensor(repeating: 0, shape: [96, 64]))
    for tokens in [2, 40, 700] {
      func tensor(_ shape: Shape) -> Tensor { planner.memory.tensor(shape) }
      let (input, x, gate) = (tensor([2, tokens, 64]), tensor([2, tokens, 96]), tensor([2, 96]))
      /// What is done, and the most memory beside the inputs'.
      func work(_ body: () throws -> Tensor) throws -> (OperationTotals, peak: Int, calls: [PlannedOperation: Int]) {
        planner.trim()
        planner.memory.beginStage()
        let before = planner.memory.statistics.pool.bytesInUse
        _ = try body()
        let counts = planner.journal.take()
        return (counts.total, planner.memory.statistics.pool.peakBytesInUse - before, counts.calls)
      }
      let plain = try work { try planner.linear([input], weight: weight, bias: nil, activation: .none) }
      for (gate, extent) in [(nil, 1), (gate, 2)] {
        let added = try work {
          try planner.linear([input], weight: weight, bias: nil, addedTo: ResidualStream(x, gate: gate))
        }
        #expect(
          added.calls == [PlannedOperation(.linear, [2 * tokens, 64, 96, 1, 0, 0, extent], format: "float32"): 1])
        #expect(added.0.operations == plain.0.operations && added.0.bytesWritten == plain.0.bytesWritten)
        #expect(added.0.bytesRead == plain.0.bytesRead + Double(x.byteCount))
        #expect(added.peak == plain.peak, "neither the stream nor the product is copied")
      }
    }
  }

  @Test(arguments: ConformanceCase.all)
  func `results of a plan's operations have the shapes and the layouts of real ones`(
    _ conformance: ConformanceCase
  ) throws {
    let backend = CPUBackend(threads: 2)
    let planned = try conformance.run(CPUPlanningBackend(for: backend))
    let expected = try conformance.run(backend)
    #expect(planned.map(\.shape) == expected.map(\.shape) && planned.map(\.strides) == expected.map(\.strides))
  }

  @Test func `a plan computes nothing, and says of every operation what it would have done`() throws {
    let planner = CPUPlanningBackend(for: CPUBackend(threads: 2))
    let clip = planner.memory.tensor([1, 64, 3, 20, 24])
    let weight = Weight(name: "weight", tensor: Tensor(repeating: 1, shape: [64, 64, 3, 3, 3]))
    let scale = Weight(name: "scale", tensor: Tensor(repeating: 1, shape: [64]))
    let norm = GroupNormalization(groups: 32, weight: scale, bias: scale, epsilon: 1e-6, activation: .silu)
    let result = try planner.causalConvolution(clip, after: norm, weight: weight, bias: scale, residual: clip)
    #expect(result.storage.hostAddress == nil, "there are no pixels")
    let calls = planner.journal.take().calls
    // The clip and the residual are brought into the layout of convolutions.
    #expect(calls.map { "\($0.key.kind) \($0.value)" }.sorted() == ["convolution 1", "copy 2", "groupNorm 1"])
    #expect(try planner.isFinite(result) && planner.absoluteSum(result, minus: nil) == 1)
    planner.journal.assumedChange = 0
    #expect(try planner.absoluteSum(result, minus: clip) == 0, "caches take what the journal assumes")
  }

  @Test func `a decode's operations are those of the decoder's formula, tile by tile`() throws {
    let (planner, model) = try planner()
    let configuration = try model.autoencoderNetwork().autoencoderConfiguration()
    // 5 x 8 x 8 latents are decoded whole.
    let whole = try planner.plan([request(model)], setting: PlanSetting())
    let expected = configuration.decoderOperations(latents: [1, 16, 5, 8, 8])
    #expect(abs((whole[.decode]?.work.total.operations ?? 0) / expected - 1) < 1e-9)
    // 40 rows and columns are cut into two tiles each way: 32 and 16.
    let tiled = try planner.plan([request(model, 320, 320, frames: 5)], setting: PlanSetting())
    let tiles = [32, 16].flatMap { height in
      [32, 16].map { configuration.decoderOperations(latents: [1, 16, 2, height, $0]) }
    }
    #expect(tiled[.decode]?.units == 4)
    #expect(abs((tiled[.decode]?.work.total.operations ?? 0) / tiles.reduce(0, +) - 1) < 1e-9)
  }

  @Test func `true guidance doubles a step, and tiling and streaming need less memory`() throws {
    let (planner, model) = try planner()
    var guided = request(model, 320, 320, frames: 33)
    let plain = try planner.plan([guided], setting: PlanSetting())
    guided.cfgScale = 4
    let twice = try planner.plan([guided], setting: PlanSetting())
    // The negative prompt has another number of tokens.
    #expect((1.9...2.2).contains(twice.denseStep.total.operations / plain.denseStep.total.operations))
    // Each half has one of the passes, and sends its velocity.
    var halved = PlanSetting()
    halved.splitsGuidance = true
    let half = try planner.plan([guided], setting: halved)
    #expect(half.denseStep.total.operations == plain.denseStep.total.operations && halved.ranks == 2)
    let sent = half[.denoise]?.bytesSent ?? 0
    #expect(abs(sent - 4 * 4 * 16 * 9 * 40 * 40) <= 4 * 4, "\(sent) bytes")
    var whole = request(model, 320, 320, frames: 33)
    whole.vaeTiling = false
    #expect(try planner.plan([whole], setting: PlanSetting()).hostPeakBytes > plain.hostPeakBytes)
    var streamed = PlanSetting()
    streamed.windowBytes = 256 << 10
    let streaming = try planner.plan([request(model)], setting: streamed)
    let resident = try planner.plan([request(model)], setting: PlanSetting())
    #expect((streaming[.denoise]?.weightBytes ?? .max) < (resident[.denoise]?.weightBytes ?? 0) / 2)
    #expect((streaming[.denoise]?.bytesRead ?? 0) > 2 * (resident[.denoise]?.bytesRead ?? .max))
  }

  @Test func `a cache's schedule is planned, and a skipped step costs little`() throws {
    let (planner, model) = try planner()
    var request = request(model, steps: 12)
    let dense = try planner.plan([request], setting: PlanSetting())
    request.cache = try StepCacheSettings(method: "taylorseer", options: ["scope": "velocity"])
    let scheduled = try planner.plan([request], setting: PlanSetting())
    // Steps 0 to 3, 7 and 11 of 12 are computed; the first of them makes the modulation of all.
    let modulation = try model.transformerNetwork().transformerConfiguration().modulationOperations(steps: 12)
    func operations(_ plan: RunPlan) -> Double { (plan[.denoise]?.work.total.operations ?? 0) - modulation }
    #expect(abs(operations(scheduled) / operations(dense) - 6.0 / 12) < 1e-9)
    request.cache = try StepCacheSettings(method: "teacache")
    let adaptive = try planner.plan([request], setting: PlanSetting())
    #expect((adaptive.skippedStep?.total.operations ?? .infinity) < 0.1 * adaptive.denseStep.total.operations)
  }

  @Test(arguments: [(2, 1), (1, 2), (2, 2), (4, 2)])
  func `ranks share the operations, and send what the layout says`(_ layout: (ulysses: Int, ring: Int)) throws {
    let (planner, model) = try planner()
    let request = request(model, 128, 128, frames: 33)
    let alone = try planner.plan([request], setting: PlanSetting())
    var setting = PlanSetting()
    setting.layout = RankLayout(ulysses: layout.ulysses, ring: layout.ring)
    let plan = try planner.plan([request], setting: setting)
    let ranks = Double(layout.ulysses * layout.ring)
    // Text is on every rank, but for attention.
    let share = plan.denseStep.total.operations / alone.denseStep.total.operations
    #expect(share > 0.99 / ranks && share < 1.3 / ranks)
    let configuration = try model.transformerNetwork().transformerConfiguration()
    let tokens = 9 * 8 * 8
    let layers = configuration.doubleBlockCount + configuration.singleBlockCount
    let text = try PromptTokenizer(model)(prompt, frames: 33).textTokenCount
    let attention =
      4 * Double(layers)
      * setting.layout.sentValues(videoTokens: tokens, textTokens: text, channels: configuration.hiddenSize)
    // At the end every rank's velocity goes to all others.
    let gathered = 4 * Double(tokens * 64) * (ranks - 1) / ranks
    let sent = Double(plan[.denoise]?.bytesSent ?? 0) / 4
    #expect(sent > 0.75 * attention && sent < 1.3 * (attention + gathered), "\(sent) for \(attention) and \(gathered)")
  }

  @Test(arguments: ["none", "teacache", "taylorseer"])
  func `a run that goes on is planned from where it is`(_ method: String) throws {
    let (planner, model) = try planner()
    var request = request(model, steps: 12)
    request.cache = try StepCacheSettings(method: method)
    // Smaller than the network: each step reads weights.
    var streamed = PlanSetting()
    streamed.windowBytes = 1 << 20
    let whole = try planner.plan([request], setting: streamed)
    func plan(done: Int) throws -> RunPlan {
      var setting = streamed
      setting.stepsDone = done
      return try planner.plan([request], setting: setting)
    }
    let rest = try plan(done: 9)
    #expect(rest[.denoise]?.units == 3 && whole[.denoise]?.units == 12)
    let read = [rest, whole].map { $0[.denoise]?.bytesRead ?? 0 }
    #expect(read[0] > 0 && read[0] < 2 * read[1] / 5, "\(read)")
    func operations(_ plan: RunPlan) -> Double { plan[.denoise]?.work.total.operations ?? 0 }
    let skipped = rest.skippedStep?.total.operations ?? 0
    let step = rest.denseStep.total.operations
    #expect(operations(rest) < 3.1 * step && operations(rest) >= 3 * skipped)
    // The first step makes the modulation of all. With a cache, steps are walked from that one on, and it is done.
    let configuration = try model.transformerNetwork().transformerConfiguration()
    let modulation = method == "none" ? 0 : configuration.modulationOperations(steps: 12)
    if method != "taylorseer" {
      #expect(abs((operations(whole) - operations(rest) - modulation) / 9 / step - 1) < 1e-9)
    }
    // Where all steps are done, nothing is read but what decodes.
    #expect(try plan(done: 12).stages.map(\.stage) == [.loadDecoder, .decode])
  }

  /// Steps that a cache decides by what changes are planned until they are alike.
  @Test(arguments: ["teacache", "fbcache", "easycache"])
  func `fifty steps with a cache are ten times five`(_ method: String) throws {
    let (planner, model) = try planner()
    func operations(steps: Int, _ method: String) throws -> (Double, held: Int) {
      var request = request(model, steps: steps)
      request.cache = try StepCacheSettings(method: method)
      let stage = try #require(try planner.plan([request], setting: PlanSetting())[.denoise])
      return (stage.work.total.operations, stage.tensorBytes)
    }
    let (twenty, held) = try operations(steps: 20, method)
    let (fifty, more) = try operations(steps: 50, method)
    #expect(abs(fifty / twenty - 2.5) < 0.01, "\(fifty) and \(twenty)")
    // What grows with the number of steps grows without a cache, too.
    let grown = try operations(steps: 50, "none").held - operations(steps: 20, "none").held
    #expect(more - held == grown)
  }

  @Test func `previews and a comparison without cache are planned`() throws {
    let (planner, model) = try planner()
    var request = request(model, steps: 6)
    let plain = try planner.plan([request], setting: PlanSetting())
    var setting = PlanSetting()
    setting.previewInterval = 4
    let shown = try planner.plan([request], setting: setting)
    // Pictures after steps 4 and 6, each of the first and the last latent frame, fitted on six random ones.
    let configuration = try model.autoencoderNetwork().autoencoderConfiguration()
    let part = configuration.decoderOperations(latents: [1, 16, 1, 8, 8])
    let random = configuration.decoderOperations(latents: [1, 16, 1, 16, 16])
    func operations(_ plan: RunPlan, _ stage: GenerationStage) -> Double { plan[stage]?.work.total.operations ?? 0 }
    #expect(abs((operations(shown, .denoise) - operations(plain, .denoise)) / (2 * 2 * part) - 1) < 1e-9)
    #expect(abs(operations(shown, .fitPreviews) / (6 * random) - 1) < 1e-9)
    let early = shown.stages.firstIndex { $0.stage == .loadDecoder } ?? .max
    #expect(early < shown.stages.firstIndex { $0.stage == .loadTransformer } ?? 0)
    #expect(shown.stages.count == plain.stages.count + 1)

    request.cache = try StepCacheSettings(method: "taylorseer", options: ["scope": "velocity"])
    var compared = PlanSetting()
    (compared.keepsFrames, compared.comparesWithoutCache) = (true, true)
    let twice = try planner.plan([request], setting: compared)
    let again = twice.stages.filter(\.isComparison)
    #expect(again.map(\.stage) == [.condition, .denoise, .decode])
    #expect(again[1].work.total.operations == operations(plain, .denoise))
    #expect(operations(twice, .denoise) < operations(plain, .denoise), "the first run has its cache")
    // The latents of all steps of both runs are held, which shows where there are more steps.
    func peak(steps: Int, _ setting: PlanSetting) throws -> Int {
      var long = request
      long.steps = steps
      if !setting.comparesWithoutCache { long.cache = .none }
      return try planner.plan([long], setting: setting).stages.last { $0.stage == .denoise }?.tensorBytes ?? 0
    }
    let compares = try peak(steps: 106, compared) - peak(steps: 6, compared)
    let grown = try compares - (peak(steps: 106, PlanSetting()) - peak(steps: 6, PlanSetting()))
    let held = 2 * 100 * 4 * 16 * 5 * 8 * 8
    #expect(abs(grown - held) < held / 10, "\(grown) bytes for \(held)")
  }

  @Test func `the published network is planned from the directories of its files`() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/hyvideo-plan-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try SparseCheckpoint.write(toFolder: folder, tokenizersOf: Goldens.repositoryPath("Models/demo"))
    let (planner, model) = try planner(folder)
    var request = request(model, 720, 1280, frames: 129, steps: 50)
    request.prompt = prompt
    var setting = PlanSetting()
    setting.windowBytes = 512 << 20
    let clock = ContinuousClock()
    var planned: RunPlan?
    let seconds = try clock.measure { planned = try planner.plan([request], setting: setting) } / .seconds(1)
    let plan = try #require(planned)
    // 1.62e15 in linear layers and 10.45e15 in attention with 256 text tokens.
    #expect(abs(plan.denseStep.total.operations / 12.07e15 - 1) < 0.01)
    // Two windows and what is in use, of projections that are used in parts, too; every step reads all blocks again.
    #expect((plan[.denoise]?.weightBytes ?? .max) < 5 << 28)
    #expect((plan[.decode]?.weightBytes ?? .max) < 1 << 29)
    #expect(abs(Double(plan[.denoise]?.bytesRead ?? 0) / (50 * 18.1e9) - 1) < 0.01)
    #expect(plan.hostPeakBytes > 10 << 30 && plan.hostPeakBytes < 60 << 30)
    #expect(plan[.decode]?.units == 84)
    #expect(seconds < 5, "\(seconds) s")
  }
}
