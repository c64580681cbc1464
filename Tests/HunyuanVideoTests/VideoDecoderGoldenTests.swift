import BackendConformance
import Checkpoints
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Random tiny autoencoders and the demo's against diffusers, decoded whole.
@Suite struct VideoDecoderGoldenTests {
  @Test(
    arguments: [
      ("one_layer", "direct_1_frame"), ("one_layer", "direct_2_frames"), ("one_layer", "direct_3_frames"),
      ("one_layer", "direct_6_frames"), ("two_layers", "direct_1_frame"), ("two_layers", "direct_3_frames"),
    ], TestBackend.allCases)
  func `a whole decode is PyTorch's`(_ golden: (network: String, clip: String), _ backend: TestBackend) throws {
    let folder = Goldens.path("vae/\(golden.network)")
    let decoder = try decoder(folder + "/weights.safetensors", folder + "/config.json")
    let expected = try Goldens.tensors("vae/\(golden.network)/expected.safetensors")
    let context = backend.context
    let latents = try expected.tensor("\(golden.clip).latents")
    let scaled = try context.backend.combination(1 / decoder.configuration.scalingFactor, latents, 0, latents)
    expectClose(
      try context.backend.download(decoder(scaled, in: context)), try expected.tensor("\(golden.clip).decoded"),
      relative: 1e-4, "pixels")
  }

  @Test func `a change in the last frame changes the first, through the normalization`() throws {
    let folder = Goldens.path("vae/one_layer")
    let decoder = try decoder(folder + "/weights.safetensors", folder + "/config.json")
    let expected = try Goldens.tensors("vae/one_layer/expected.safetensors")
    let latents = try expected.tensor("direct_3_frames.latents")
    var values = latents.floats()
    values[values.count - 1] += 5
    let context = TestBackend.cpu.context
    let before = try decoder(latents, in: context).slice(2, 0..<1)
    let after = try decoder(Tensor(values, shape: latents.shape), in: context).slice(2, 0..<1)
    #expect(Comparison(after, before).relativeNorm > 1e-5)
  }

  private func decoder(_ weights: String, _ configuration: String) throws -> VideoDecoder {
    let scope = WeightScope(try Checkpoint(path: weights))
    let decoder = try VideoDecoder(
      scope, configuration: AutoencoderConfiguration(ConfigurationReader(contentsOf: configuration)))
    try scope.finish()
    return decoder
  }
}
