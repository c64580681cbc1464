import CPUBackend
import Checkpoints
import Generation
import Layers
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// The cache rules on the demo checkpoint against PyTorch and diffusers (`Tools/caches`).
@Suite struct StepCacheGoldenTests {
  private final class Recorder: GenerationObserver {
    var skipped: [Bool] = []
    func stepDidEnd(_ record: StepRecord) { skipped.append(record.skipped) }
  }

  private static let cases = [
    "teacache_0.1", "teacache_0.15", "teacache_ascend", "fbcache", "taylorseer_1", "taylorseer_3",
    "taylorseer_velocity",
    "easycache", "magcache", "magcache_slow",
  ]

  @Test func `every rule skips PyTorch's steps and ends with PyTorch's latents`() throws {
    let facts = try #require(try Goldens.json("caches/decisions.json").object)
    let golden = try Goldens.tensors("caches/latents.safetensors")
    let table = try #require(facts["cases"]?.object)
    #expect(Set(table.keys) == Set(Self.cases))
    let model = try ModelFolder(Goldens.repositoryPath("Models/demo"))
    let recorder = Recorder()
    let pipeline = VideoPipeline(model, in: ForwardContext(backend: CPUBackend()), observer: recorder)
    var request = GenerationRequest(
      prompt: "A red ball moves from left to right on a black background.", seed: 100, defaults: model.defaults)
    request.steps = try #require(facts["steps"]?.int)
    request.initialNoise = try Goldens.tensors("demo/sampling.safetensors").tensor("initial_noise")
    let texts = try pipeline.encode([request])[0]
    for name in Self.cases {
      let entry = try #require(table[name]?.object)
      let options = try #require(entry["options"]?.object).compactMapValues(\.string)
      request.cache = try StepCacheSettings(method: try #require(entry["method"]?.string), options: options)
      recorder.skipped.removeAll()
      let latents = try pipeline.denoise(request, texts: texts)
      #expect(recorder.skipped == (try #require(entry["skipped"]?.array)).compactMap(\.bool), "\(name)")
      expectClose(latents, try golden.tensor(name), relative: 1e-3, "\(name): latents")
    }
  }
}
