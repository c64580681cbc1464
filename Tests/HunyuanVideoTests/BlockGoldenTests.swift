import Checkpoints
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Whole networks in GGUF blocks of every kind, written by the format's own package, against PyTorch's networks with the
/// numbers that the blocks stand for.
@Suite struct BlockGoldenTests {
  /// Reference and CPU backend widen blocks each in its own way.
  @Test(arguments: TestBackend.allCases)
  func `a transformer in blocks gives the velocity of the numbers that they stand for`(_ backend: TestBackend) throws {
    let context = backend.context
    let network = try PublishedNetwork(
      path: Goldens.path("blocks/transformer/transformer.gguf"), expecting: .transformer)
    let kinds = Set(network.checkpoint.tensors.compactMap(\.blocks))
    #expect(kinds == [.q40, .q41, .q50, .q51, .q80, .q4K, .q5K, .q6K])
    let scope = network.scope()
    let transformer = try HunyuanVideoTransformer(scope, configuration: network.transformerConfiguration())
    try scope.finish()
    let golden = try Goldens.tensors("blocks/transformer/transformer_expected.safetensors")
    let conditioning = try transformer.conditioning(
      timesteps: golden.tensor("timestep").floats(), guidance: golden.tensor("guidance").floats()[0],
      textStates: golden.tensor("text_states"), pooledText: golden.tensor("text_states_2"), in: context)
    let latents = try golden.tensor("latents")
    let velocity = try transformer(
      latents, step: 0, conditioning: conditioning, rotary: transformer.rotaryTable(for: latents.shape),
      cache: NoStepCache(), in: context)
    expectClose(try context.backend.download(velocity), try golden.tensor("output"), relative: 1e-4, "velocity")
  }

  @Test(arguments: TestBackend.allCases)
  func `llama cpp's export in blocks gives the states of the numbers that they stand for`(
    _ backend: TestBackend
  ) throws {
    let context = backend.context
    let network = try PublishedNetwork(
      path: Goldens.path("blocks/language_model/language_model.gguf"), expecting: .llama)
    #expect(network.names.name == "llama.cpp")
    let kinds = Set(network.checkpoint.tensors.compactMap(\.blocks))
    #expect(kinds.isSuperset(of: [.q4K, .q5K, .q6K, .q40, .q41, .q50]))
    let scope = network.scope()
    let encoder = try LlamaTextEncoder(scope, configuration: network.llamaConfiguration(), skippedLayers: 1)
    try scope.finish()
    let golden = try Goldens.tensors("blocks/language_model/language_model_expected.safetensors")
    let states = try encoder(golden.int32("input_ids"), in: context)
    expectClose(try context.backend.download(states), try golden.tensor("states"), relative: 1e-4, "states")
  }
}
