import CPUBackend
import Foundation
import Generation
import Layers
import TensorCore
import TensorTesting
import Testing

/// Runs with a step cache that go on from a file.
@Suite struct StepCacheResumeTests {
  /// Keeps what is needed to go on after every step.
  private final class States: GenerationObserver {
    private(set) var states: [SamplerState] = []
    private(set) var skipped: [Bool] = []

    func stateDidChange(step: Int, of steps: Int, _ state: () throws -> SamplerState?) throws {
      states.append(try #require(try state(), "the cache cannot be saved after step \(step)"))
    }

    func stepDidEnd(_ record: StepRecord) { skipped.append(record.skipped) }
  }

  /// Every rule, with parameters with which this run computes some steps and skips others.
  static let rules =
    StepCacheRankTests.rules
    + StepCacheLawTests.greedy.map { rule, _ in
      StepCacheRankTests.Rule(method: rule.method, options: rule.options)
    }

  @Test(arguments: rules, [Float(1), 3])
  func `after every step a run goes on from its file with the same bits and decisions`(
    _ rule: StepCacheRankTests.Rule, _ guidance: Float
  ) throws {
    let model = try ModelFolder(Goldens.repositoryPath("Models/demo"))
    var request = GenerationRequest(
      prompt: "A red ball moves from left to right on a black background.", seed: 3, defaults: model.defaults)
    (request.steps, request.frames, request.cfgScale) = (10, 1, guidance)
    request.cache = try rule.settings()
    func run(from state: SamplerState?) throws -> (latents: [Float], states: States) {
      let observer = States()
      let pipeline = VideoPipeline(model, in: ForwardContext(backend: CPUBackend(threads: 1)), observer: observer)
      let latents = try pipeline.denoise(request, texts: pipeline.encode([request])[0], from: state)
      return (latents.floats(), observer)
    }
    let whole = try run(from: nil)
    #expect(whole.states.states.map(\.step) == Array(0...10))
    let path = FileManager.default.temporaryDirectory.path + "/hyvideo-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    for state in whole.states.states {
      try SavedRun(identity: RunIdentity(request, others: [:]), details: [:], state: state).write(to: path)
      let saved = try SavedRun(contentsOf: path)
      #expect(saved.state.step == state.step && saved.identity == RunIdentity(request, others: [:]))
      let rest = try run(from: saved.state)
      #expect(rest.latents == whole.latents, "after step \(state.step)")
      #expect(rest.states.skipped == Array(whole.states.skipped[state.step...]), "after step \(state.step)")
    }
  }
}
