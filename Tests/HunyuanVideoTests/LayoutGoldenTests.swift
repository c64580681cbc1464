import Checkpoints
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Tiny checkpoints that diffusers, transformers and ComfyUI's renaming wrote, against Tencent's form of the same weights.
@Suite struct LayoutGoldenTests {
  private let context = TestBackend.cpu.context

  /// - Parameter reference: PyTorch's velocity where it is not that of the 16-bit weights.
  private func velocity(_ network: PublishedNetwork, reference: Tensor? = nil) throws -> Tensor {
    let scope = network.scope()
    let transformer = try HunyuanVideoTransformer(scope, configuration: network.transformerConfiguration())
    try scope.finish()
    let golden = try Goldens.tensors("transformer/one_valid_token_float16/expected.safetensors")
    let valid = try golden.tensor("text_mask").integers().reduce(0, +)
    let conditioning = try transformer.conditioning(
      timesteps: golden.tensor("timestep").floats(), guidance: golden.tensor("guidance").floats()[0],
      textStates: context.backend.contiguous(golden.tensor("text_states").slice(1, 0..<valid)),
      pooledText: golden.tensor("text_states_2"), in: context)
    let latents = try golden.tensor("latents")
    let velocity = try transformer(
      latents, step: 0, conditioning: conditioning, rotary: transformer.rotaryTable(for: latents.shape),
      cache: NoStepCache(), in: context)
    expectClose(
      try context.backend.download(velocity), try reference ?? golden.tensor("output"), relative: 1e-4, "PyTorch's")
    return velocity
  }

  @Test(arguments: [("diffusers/transformer", "diffusers"), ("comfy/transformer.safetensors", "ComfyUI")])
  func `a transformer of another release gives the velocity of Tencent's form`(
    _ path: String, _ release: String
  ) throws {
    let tencent = try PublishedNetwork(
      path: Goldens.path("transformer/one_valid_token_float16/weights.safetensors"), expecting: .transformer)
    let other = try PublishedNetwork(path: Goldens.path("layouts/\(path)"), expecting: .transformer)
    #expect(other.names.name.hasPrefix(release))
    #expect(try other.transformerConfiguration() == tencent.transformerConfiguration())
    expectClose(try velocity(other), try velocity(tencent), relative: 1e-5, "velocity")
  }

  @Test(arguments: [
    ("comfy_fp8_scaled/transformer.safetensors", "comfy"), ("tencent_fp8/mp_rank_00_model_states_fp8.pt", "tencent"),
  ])
  func `an 8-bit transformer gives the velocity of the numbers that it stands for`(
    _ path: String, _ release: String
  ) throws {
    let expected = try Goldens.tensors("layouts/eight_bit.safetensors").tensor(release)
    let eightBit = try PublishedNetwork(path: Goldens.path("layouts/\(path)"), expecting: .transformer)
    let exact = try velocity(
      PublishedNetwork(
        path: Goldens.path("transformer/one_valid_token_float16/weights.safetensors"), expecting: .transformer))
    // What e4m3 itself loses, here with random weights.
    expectClose(try velocity(eightBit, reference: expected), exact, relative: 0.1, "the 16-bit weights' velocity")
  }

  @Test func `projections that are stored apart stay where they are`() throws {
    let network = try PublishedNetwork(path: Goldens.path("layouts/diffusers/transformer"), expecting: .transformer)
    let parts = try network.scope()["single_blocks.0.linear1"].rowParts("weight", shape: [280, 40])
    #expect(parts.map { $0.shape[0] } == [40, 40, 40, 160])
    #expect(parts.allSatisfy { $0.tensor.storage is MappedFile })
    let final = try network.scope()["final_layer.adaLN_modulation.1"].rowParts("bias", shape: [80])
    let stored = try #require(network.checkpoint["norm_out.linear.bias"]).tensor.floats()
    #expect(final.flatMap { $0.tensor.floats() } == Array(stored[40...]) + Array(stored[..<40]))
  }

  @Test(arguments: [("diffusers/vae", "Tencent"), ("tencent_vae/pytorch_model.pt", "Tencent, prefix vae.")])
  func `an autoencoder in another form decodes as Tencent's`(_ path: String, _ names: String) throws {
    let golden = try Goldens.tensors("vae/two_layers/expected.safetensors")
    func decoded(_ path: String) throws -> Tensor {
      let network = try PublishedNetwork(path: Goldens.path(path), expecting: .autoencoder)
      if path.hasPrefix("layouts") { #expect(network.names.name == names) }
      let scope = network.scope()
      let decoder = try VideoDecoder(scope, configuration: network.autoencoderConfiguration())
      try scope.finish()
      let latents = try golden.tensor("direct_3_frames.latents")
      let factor = 1 / decoder.configuration.scalingFactor
      return try decoder(context.backend.combination(factor, latents, 0, latents), in: context)
    }
    let other = try decoded("layouts/\(path)")
    expectClose(other, try decoded("vae/two_layers/weights.safetensors"), relative: 1e-5, "pixels")
    expectClose(other, try golden.tensor("direct_3_frames.decoded"), relative: 1e-4, "PyTorch's")
  }

  @Test(arguments: ["layouts/diffusers/text_encoder", "layouts/llava", "layouts/llama_cpp/model.gguf"])
  func `a language model inside another release gives the same states`(_ path: String) throws {
    let golden = try Goldens.tensors("llama/six_heads/expected.safetensors")
    func states(_ path: String) throws -> Tensor {
      let network = try PublishedNetwork(path: path, expecting: .llama)
      let scope = network.scope()
      let encoder = try LlamaTextEncoder(scope, configuration: network.llamaConfiguration(), skippedLayers: 1)
      try scope.finish()
      return try encoder(golden.int32("input_ids").slice(0, 1..<2), validCounts: [9], in: context)
    }
    let expected = try states(Goldens.path("llama/six_heads/weights.safetensors"))
    expectClose(try states(Goldens.path(path)), expected, relative: 1e-5, "states")
  }

  @Test func `an 8-bit language model gives the states of the numbers that it stands for`() throws {
    let golden = try Goldens.tensors("llama/six_heads/expected.safetensors")
    let network = try PublishedNetwork(
      path: Goldens.path("layouts/llava_fp8_scaled/model.safetensors"), expecting: .llama)
    let scope = network.scope()
    let encoder = try LlamaTextEncoder(scope, configuration: network.llamaConfiguration(), skippedLayers: 1)
    try scope.finish()
    let states = try encoder(golden.int32("input_ids").slice(0, 1..<2), validCounts: [9], in: context)
    let expected = try Goldens.tensors("layouts/eight_bit.safetensors").tensor("llava")
    let valid = states.shape[1]
    expectClose(
      try context.backend.download(states), try context.backend.contiguous(expected.slice(1, 0..<valid)),
      relative: 1e-4, "states")
  }

  @Test(arguments: ["diffusers/text_encoder_2", "clip"])
  func `a CLIP text model saved alone, and the whole CLIP, give the same vector`(_ path: String) throws {
    let golden = try Goldens.tensors("clip/end_id/expected.safetensors")
    let network = try PublishedNetwork(path: Goldens.path("layouts/\(path)"), expecting: .clip)
    let scope = network.scope()
    let encoder = try CLIPTextEncoder(scope, configuration: network.clipConfiguration())
    try scope.finish()
    expectClose(
      try encoder(golden.int32("input_ids"), in: context).pooled, try golden.tensor("pooled"), relative: 1e-4, "pooled")
  }
}
