import CPUBackend
import Checkpoints
import Generation
import HunyuanVideo
import Layers
import StrictJSON
import TensorCore
import TensorTesting
import Testing
import Tokenizers

/// The demo checkpoint from prompt to pixels against PyTorch.
@Suite struct PipelineGoldenTests {
  /// Keeps what a run tells.
  private final class Recorder: GenerationObserver, FrameSink {
    var latents: [Tensor] = []
    var frames: [Tensor] = []
    var steps: [StepRecord] = []
    var warnings: [String] = []
    func latentsDidChange(_ latents: Tensor, step: Int) { self.latents.append(latents) }
    func stepDidEnd(_ record: StepRecord) { steps.append(record) }
    func warn(_ message: String) { warnings.append(message) }
    func append(_ frames: Tensor) { self.frames.append(frames) }
  }

  private let context = ForwardContext(backend: CPUBackend())
  private let prompt = "A red ball moves from left to right on a black background."

  private func model() throws -> ModelFolder { try ModelFolder(Goldens.repositoryPath("Models/demo")) }

  @Test func `latents after 20 steps and the frames are PyTorch's`() throws {
    let golden = try Goldens.tensors("demo/sampling.safetensors")
    let model = try model()
    let recorder = Recorder()
    let pipeline = VideoPipeline(model, in: context, observer: recorder)
    var request = GenerationRequest(prompt: prompt, seed: 100, defaults: model.defaults)
    request.steps = 20
    // The seed alone: the noise is PyTorch's too.
    let texts = try pipeline.encode([request])
    let latents = try pipeline.denoise(request, texts: texts[0])
    expectClose(recorder.latents[0], try golden.tensor("initial_noise"), relative: 1e-6, "noise")
    let expected = try golden.tensor("latents_after_step")
    for step in 0..<20 {
      expectClose(
        recorder.latents[step + 1], expected.slice(0, step..<step + 1), relative: 1e-3, "latents after step \(step)")
    }
    #expect(recorder.steps.map(\.index) == Array(0..<20))
    #expect(recorder.warnings.isEmpty)

    try pipeline.decode(latents, tiling: true, into: recorder)
    #expect(recorder.frames.map(\.shape) == [[1, 3, 17, 96, 128]])
    let pixels = try #require(recorder.frames.first)
    let raw = try golden.tensor("decoder_output").floats()
    let reference = raw.map { min(max($0 / 2 + 0.5, 0), 1) }
    let error = zip(pixels.floats(), reference).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    // 50 dB
    #expect(error / Double(reference.count) <= 1e-5)
  }

  @Test(arguments: ["default_negative", "other_negative"])
  func `true guidance follows PyTorch on a size of its own`(_ name: String) throws {
    let golden = try Goldens.tensors("pipeline/cfg.safetensors")
    let settings = try #require(try Goldens.json("pipeline/cfg.json").object)
    let model = try model()
    let recorder = Recorder()
    let pipeline = VideoPipeline(model, in: context, observer: recorder)
    var request = GenerationRequest(prompt: prompt, seed: 7, defaults: model.defaults)
    request.negativePrompt = try #require(settings["negative_prompts"]?.object?[name]?.string)
    (request.height, request.width, request.frames, request.steps, request.cfgScale) = (48, 80, 9, 4, 3)
    request.initialNoise = try golden.tensor("initial_noise")
    let latents = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
    let expected = try golden.tensor("\(name).latents_after_step")
    for step in 0..<4 {
      expectClose(
        recorder.latents[step + 1], expected.slice(0, step..<step + 1), relative: 1e-3, "latents after step \(step)")
    }
    if golden.has("\(name).decoder_output") {
      try pipeline.decode(latents, tiling: true, into: recorder)
      let reference = try golden.tensor("\(name).decoder_output").floats().map { min(max($0 / 2 + 0.5, 0), 1) }
      let pixels = try #require(recorder.frames.first).select(0, 0)
      expectClose(pixels, Tensor(reference as [Float], shape: pixels.shape), relative: 1e-3, "pixels")
    }
  }

  @Test func `a video does not depend on the one made before it`() throws {
    let model = try model()
    var request = GenerationRequest(prompt: prompt, seed: 3, defaults: model.defaults)
    (request.steps, request.frames) = (3, 5)
    var other = request
    other.prompt = "A blue square rises upwards over a gray background."
    let first = VideoPipeline(model, in: context, observer: Recorder())
    let alone = try first.denoise(request, texts: first.encode([request])[0])
    let second = VideoPipeline(model, in: context, observer: Recorder())
    let texts = try second.encode([other, request])
    _ = try second.denoise(other, texts: texts[0])
    let after = try second.denoise(request, texts: texts[1])
    #expect(alone.floats() == after.floats())
  }

  @Test func `weights that stay on disk give the same bits`() throws {
    let model = try model()
    var request = GenerationRequest(prompt: prompt, seed: 3, defaults: model.defaults)
    (request.steps, request.frames, request.cfgScale) = (3, 5, 2)
    var results: [[Float]] = []
    for readAhead in [nil, WeightReadAhead(windowBytes: 1 << 18)] {
      let recorder = Recorder()
      let pipeline = VideoPipeline(model, in: context, readAhead: readAhead, observer: recorder)
      // Twice: the second video finds the first one's phases behind it.
      for _ in 0..<2 {
        let latents = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
        try pipeline.decode(latents, tiling: true, into: recorder)
      }
      results += recorder.frames.map { $0.floats() }
    }
    #expect(results.count == 4 && results.allSatisfy { $0 == results[0] })
  }

  @Test func `a picture takes its own template and one frame`() throws {
    let model = try model()
    let recorder = Recorder()
    let pipeline = VideoPipeline(model, in: context, observer: recorder)
    var request = GenerationRequest(prompt: prompt, seed: 3, defaults: model.defaults)
    (request.steps, request.frames) = (2, 1)
    let latents = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
    #expect(latents.shape == [1, 16, 1, 12, 16])
    try pipeline.decode(latents, tiling: true, into: recorder)
    #expect(recorder.frames.map(\.shape) == [[1, 3, 1, 96, 128]])
    let video = try PromptTokenizer(model)(prompt, frames: 17)
    let picture = try PromptTokenizer(model)(prompt, frames: 1)
    #expect(video.templated.prefixCount == 95 && picture.templated.prefixCount == 36)
    #expect(video.templated.limit == picture.templated.limit)
  }

  @Test func `a prompt that is too long is cut with a warning that quotes what is lost`() throws {
    let model = try model()
    let recorder = Recorder()
    let pipeline = VideoPipeline(model, in: context, observer: recorder)
    var request = GenerationRequest(prompt: "", seed: 3, defaults: model.defaults)
    request.prompt = Array(repeating: "A red ball moves.", count: 120).joined(separator: " ") + " The end."
    let texts = try pipeline.encode([request])
    #expect(texts[0].prompt.textStates.shape[1] == 256)
    #expect(recorder.warnings.count == 2)
    #expect(
      recorder.warnings.allSatisfy { $0.contains("red ball moves.") && $0.utf8.count < 400 }, "\(recorder.warnings)")
  }

  @Test func `noise of the wrong shape is refused`() throws {
    let model = try model()
    let pipeline = VideoPipeline(model, in: context, observer: Recorder())
    var request = GenerationRequest(prompt: prompt, seed: 3, defaults: model.defaults)
    request.initialNoise = Tensor(repeating: 0, shape: [1, 16, 2, 8, 8])
    let texts = try pipeline.encode([request])
    #expect(throws: RequestError.self) { _ = try pipeline.denoise(request, texts: texts[0]) }
  }
}
