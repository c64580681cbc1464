import Checkpoints
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Random tiny transformers and the demo's against diffusers.
@Suite struct TransformerGoldenTests {
  /// Folders of `Tests/Goldens/transformer`.
  static let cases = ["guidance", "guidance_bfloat16", "no_guidance", "one_valid_token_float16"]

  @Test(arguments: cases, TestBackend.allCases)
  func `a tiny network gives PyTorch's velocity`(_ name: String, _ backend: TestBackend) throws {
    let folder = Goldens.path("transformer/\(name)")
    try expectGolden(
      weights: folder + "/weights.safetensors", configuration: folder + "/config.json",
      expected: Goldens.tensors("transformer/\(name)/expected.safetensors"), backend)
  }

  @Test(arguments: ["mp_rank_00_model_states.pt", "model.gguf"], TestBackend.allCases)
  func `the same network from a PyTorch or GGUF file gives PyTorch's velocity`(
    _ file: String, _ backend: TestBackend
  ) throws {
    let folder = "transformer/one_valid_token_float16"
    let path = Goldens.path("formats/transformer/\(file)")
    try expectGolden(
      weights: path, configuration: Goldens.path("\(folder)/config.json"),
      expected: Goldens.tensors("\(folder)/expected.safetensors"), backend)
    let safetensors = try Goldens.tensors("\(folder)/weights.safetensors")
    for tensor in try Checkpoint(path: path).tensors {
      #expect(try tensor.tensor.floats() == safetensors.tensor(tensor.name).floats(), "\(tensor.name)")
    }
  }

  @Test(arguments: TestBackend.allCases)
  func `the demo's transformer gives PyTorch's velocity`(_ backend: TestBackend) throws {
    let folder = Goldens.repositoryPath("Models/demo/hunyuan-video-t2v-720p/transformers")
    try expectGolden(
      weights: folder, configuration: folder + "/config.json", expected: Goldens.tensors("demo/dit.safetensors"),
      backend)
  }

  private func expectGolden(
    weights: String, configuration: String, expected: GoldenTensors, _ backend: TestBackend
  ) throws {
    let context = backend.context
    let scope = WeightScope(try Checkpoint(path: weights))
    let network = try HunyuanVideoTransformer(
      scope, configuration: TransformerConfiguration(ConfigurationReader(contentsOf: configuration)))
    try scope.finish()

    // Valid tokens only: the network never sees padding.
    let valid = try expected.tensor("text_mask").integers().reduce(0, +)
    let conditioning = try network.conditioning(
      timesteps: try expected.tensor("timestep").floats(),
      guidance: expected.has("guidance") ? try expected.tensor("guidance").floats()[0] : 0,
      textStates: try context.backend.contiguous(expected.tensor("text_states").slice(1, 0..<valid)),
      pooledText: try expected.tensor("text_states_2"), in: context)
    expectClose(conditioning.vectors, try expected.tensor("internal.vec"), relative: 1e-4, "vec")
    expectClose(conditioning.text[0], try expected.tensor("internal.txt_in"), relative: 1e-4, "refined text")

    let latents = try expected.tensor("latents")
    let velocity = try network(
      latents, step: 0, conditioning: conditioning, rotary: network.rotaryTable(for: latents.shape),
      cache: NoStepCache(), in: context)
    expectClose(
      try context.backend.download(velocity), try expected.tensor("output"), relative: 1e-4, "velocity")
  }
}
