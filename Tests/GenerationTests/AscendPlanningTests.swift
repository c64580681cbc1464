import AscendBackend
import Foundation
import Generation
import HunyuanVideo
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Plans of runs on NPUs: the backend's own operations on emulated devices without contents, which check every call.
@Suite struct AscendPlanningTests {
  private static let prompt = "A red ball moves from left to right on a black background."

  private static func libraries() throws -> CANNLibraries {
    try CANNLibraries(environment: ["HYVIDEO_CANN_LIBRARY_PATH": BuiltProducts.path("libAscendEmulator.so")])
  }

  private static func planner(_ model: ModelFolder, byteCount: Int = 64 << 30) throws -> RunPlanner {
    let libraries = try libraries()
    return try RunPlanner(model) { streamsWeights in
      // The types that runs have unless told otherwise.
      let transformer = try AscendPlanningBackend(
        dryRunIn: libraries, byteCount: byteCount, streamsWeights: streamsWeights)
      return PlanningBackends(
        textEncoders: transformer.with(activationType: .float16, streamsWeights: streamsWeights),
        transformer: transformer, autoencoder: transformer.with(activationType: .float16),
        makeGroups: { try transformer.groups($0, parts: $1) })
    }
  }

  private func request(_ model: ModelFolder, _ height: Int, _ width: Int, frames: Int, steps: Int) -> GenerationRequest
  {
    var request = GenerationRequest(prompt: Self.prompt, seed: 1, defaults: model.defaults)
    (request.height, request.width, request.frames, request.steps) = (height, width, frames, steps)
    return request
  }

  @Test(arguments: [(64, 64, 17), (96, 160, 5), (64, 64, 1)])
  func `a step's operations are those of the network's formula`(_ size: (height: Int, width: Int, frames: Int)) throws {
    let model = try ModelFolder(Goldens.repositoryPath("Models/demo"))
    let request = request(model, size.height, size.width, frames: size.frames, steps: 3)
    let plan = try Self.planner(model).plan([request], setting: PlanSetting())
    let configuration = try model.transformerNetwork().transformerConfiguration()
    let tokens = try PromptTokenizer(model)(Self.prompt, frames: size.frames).textTokenCount
    let expected = configuration.operationsPerStep(
      tokens: ((size.frames - 1) / 4 + 1) * (size.height / 16) * (size.width / 16), textTokens: tokens)
    #expect(abs(plan.denseStep.total.operations / expected - 1) < 1e-9)
    #expect(plan.devicePeakBytes > 0 && plan.devicePeakBytes < 1 << 30)
  }

  @Test func `720 by 1280 pixels with 129 frames fit a card of 64 GB, within the limits of all operators`() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/hyvideo-plan-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try SparseCheckpoint.write(toFolder: folder, tokenizersOf: Goldens.repositoryPath("Models/demo"))
    let model = try ModelFolder(folder)
    var request = request(model, 720, 1280, frames: 129, steps: 50)
    request.prompt = String(repeating: Self.prompt + " ", count: 40)
    let clock = ContinuousClock()
    var planned: RunPlan?
    let seconds =
      try clock.measure { planned = try Self.planner(model).plan([request], setting: PlanSetting()) } / .seconds(1)
    let plan = try #require(planned)
    // With 256 text tokens.
    #expect(abs(plan.denseStep.total.operations / 12.07e15 - 1) < 0.01)
    for (kernel, operations) in [("aclnnAddmm", 1.62e15), ("aclnnFusedInferAttentionScoreV2", 10.45e15)] {
      let counted = plan.denseStep.totals.first { $0.key.format == kernel }?.value.operations ?? 0
      #expect(abs(counted / operations - 1) < 0.01, "\(kernel): \(counted)")
    }
    #expect(abs((plan[.denoise]?.work.total.operations ?? 0) / (50 * 12.07e15) - 1) < 0.01)
    // 25.6 GB of weights and what is computed with them.
    #expect(plan[.denoise]?.devicePeakBytes ?? 0 > 30 << 30)
    #expect(plan.devicePeakBytes < 60 << 30)
    #expect(plan[.decode]?.units == 84)
    #expect(seconds < 10, "\(seconds) s")
  }

  @Test func `weights that stay with the host leave their memory to the video`() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/hyvideo-plan-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try SparseCheckpoint.write(toFolder: folder, tokenizersOf: Goldens.repositoryPath("Models/demo"))
    let model = try ModelFolder(folder)
    let planner = try Self.planner(model)
    for window in [512 << 20, 128 << 20, 16 << 20] {
      var setting = PlanSetting()
      setting.windowBytes = window
      let plan = try planner.plan([request(model, 720, 1280, frames: 129, steps: 50)], setting: setting)
      // 12 GiB are in use at a time; the rest lies between them.
      #expect(plan[.denoise]?.devicePeakBytes ?? .max < 20 << 30, "\(window) bytes ahead")
      // Every step brings the weights of its blocks again; in a small window some come twice, for video and for text.
      let read = Double(plan[.denoise]?.bytesRead ?? 0) / 50
      #expect(read > 18e9 && read < (window == 512 << 20 ? 26e9 : 36e9), "\(read)")
    }
  }

  @Test(arguments: [(8, 1), (1, 8), (4, 2), (2, 4)])
  func `649 frames fit eight cards, however they share them`(_ layout: (ulysses: Int, ring: Int)) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/hyvideo-plan-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try SparseCheckpoint.write(toFolder: folder, tokenizersOf: Goldens.repositoryPath("Models/demo"))
    let model = try ModelFolder(folder)
    var setting = PlanSetting()
    setting.layout = RankLayout(ulysses: layout.ulysses, ring: layout.ring)
    let request = request(model, 720, 1280, frames: 649, steps: 50)
    let plan = try Self.planner(model).plan([request], setting: setting)
    #expect(plan.devicePeakBytes < 60 << 30)
    let names = Set(plan.denseStep.totals.keys.map(\.format))
    #expect(names.contains("HcclAlltoAllV") == (layout.ulysses > 1))
    #expect(names.contains("HcclBatchSendRecv") == (layout.ring > 1))
    let tokens = try PromptTokenizer(model)(request.prompt, frames: request.frames).textTokenCount
    let step = TransformerConfiguration().operationsPerStep(tokens: 163 * 45 * 80, textTokens: tokens)
    #expect(abs(plan.denseStep.total.operations / (step / 8) - 1) < 0.01)
    // In bfloat16, from device to device, and at the end the velocity of a rank's tokens to all others.
    let layers = Double(20 + 40)
    let attention =
      2 * layers * setting.layout.sentValues(videoTokens: 163 * 45 * 80, textTokens: tokens, channels: 3072)
    let velocity = Double(2 * 7 * 163 * 45 * 10 * 64)
    let sent = Double(plan[.denoise]?.bytesSent ?? 0) / 50
    #expect(abs(sent / (attention + velocity) - 1) < 0.01, "\(sent) for \(attention) and \(velocity)")
  }
}
