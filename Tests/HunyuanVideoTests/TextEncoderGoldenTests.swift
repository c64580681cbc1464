import Checkpoints
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Random tiny text encoders and the demo's against transformers.
@Suite struct TextEncoderGoldenTests {
  @Test(arguments: ["four_heads", "six_heads"], TestBackend.allCases)
  func `every LLaMA state of padded prompts is PyTorch's, padded rows included`(
    _ name: String, _ backend: TestBackend
  ) throws {
    let golden = try Goldens.tensors("llama/\(name)/expected.safetensors")
    let (scope, configuration) = try llama(Goldens.path("llama/\(name)"))
    let encoder = try LlamaTextEncoder(scope, configuration: configuration, skippedLayers: 0)
    try scope.finish()
    let mask = try golden.tensor("attention_mask")
    let valid = (0..<mask.shape[0]).map { mask.select(0, $0).integers().reduce(0, +) }
    var states: [Tensor] = []
    let last = try encoder(golden.int32("input_ids"), validCounts: valid, in: backend.context) { _, state in
      states.append(state)
    }
    for index in 0..<configuration.layerCount {
      expectClose(states[index], try golden.tensor("hidden_states.\(index)"), relative: 1e-4, "state \(index)")
    }
    expectClose(
      last, try golden.tensor("hidden_states.\(configuration.layerCount)"), relative: 1e-4, "normalized last state")
  }

  @Test func `an encoder that skips layers does not load them`() throws {
    let (scope, configuration) = try llama(Goldens.path("llama/four_heads"))
    let encoder = try LlamaTextEncoder(scope, configuration: configuration, skippedLayers: 2)
    try scope.finish()
    let skipped = "layers.\(configuration.layerCount - 2)."
    #expect(!scope.usedKeys.contains { $0.contains(skipped) })
    #expect(!scope.usedKeys.contains { $0.contains("lm_head") || $0.hasSuffix("model.norm.weight") })

    let golden = try Goldens.tensors("llama/four_heads/expected.safetensors")
    let state = try encoder(golden.int32("input_ids"), validCounts: [20, 13], in: TestBackend.cpu.context)
    let expected = try golden.tensor("hidden_states.\(configuration.layerCount - 2)")
    // Rows of padding see other keys when counts differ; valid rows are what the transformer gets.
    expectClose(state.select(0, 0).slice(0, 0..<8), expected.select(0, 0).slice(0, 0..<8), relative: 1e-4, "state")
  }

  @Test(arguments: TestBackend.allCases)
  func `padding changes nothing for valid tokens`(_ backend: TestBackend) throws {
    let golden = try Goldens.tensors("llama/four_heads/expected.safetensors")
    let (scope, configuration) = try llama(Goldens.path("llama/four_heads"))
    let encoder = try LlamaTextEncoder(scope, configuration: configuration)
    let ids = try golden.int32("input_ids").slice(0, 1..<2)
    let whole = try encoder(ids, validCounts: [9], in: backend.context)
    let alone = try encoder(backend.context.backend.contiguousIDs(ids.slice(1, 0..<9)), in: backend.context)
    expectClose(whole.slice(1, 0..<9), alone, relative: 1e-6, "valid rows")
  }

  @Test(arguments: ["end_id", "legacy_end_id"], TestBackend.allCases)
  func `CLIP's states and pooled vectors are PyTorch's`(_ name: String, _ backend: TestBackend) throws {
    let golden = try Goldens.tensors("clip/\(name)/expected.safetensors")
    let folder = Goldens.path("clip/\(name)")
    let scope = WeightScope(try Checkpoint(path: folder + "/weights.safetensors"))
    let encoder = try CLIPTextEncoder(
      scope, configuration: CLIPTextConfiguration(ConfigurationReader(contentsOf: folder + "/config.json")))
    try scope.finish()
    let (states, pooled) = try encoder(golden.int32("input_ids"), in: backend.context)
    expectClose(states, try golden.tensor("last_hidden_state_without_mask"), relative: 1e-4, "states")
    expectClose(pooled, try golden.tensor("pooled"), relative: 1e-4, "pooled")
  }

  @Test(arguments: TestBackend.allCases)
  func `the demo's LLaMA gives PyTorch's states`(_ backend: TestBackend) throws {
    let golden = try Goldens.tensors("demo/text.safetensors")
    let ids = try Goldens.tensors("demo/tokens.safetensors").int32("llama.input_ids").slice(0, 0..<1)
    let context = backend.context
    let scope = WeightScope(try Checkpoint(path: Goldens.repositoryPath("Models/demo/text_encoder")))
    let configuration = try LlamaConfiguration(
      ConfigurationReader(contentsOf: Goldens.repositoryPath("Models/demo/text_encoder/config.json")))
    let encoder = try LlamaTextEncoder(scope, configuration: configuration)
    try scope.finish()
    let valid = try golden.tensor("llama.hidden_states.0").shape[0]
    var states: [Tensor] = []
    _ = try encoder(context.backend.contiguousIDs(ids.slice(1, 0..<valid)), in: context) { _, state in
      states.append(state)
    }
    for (index, state) in states.enumerated() {
      expectClose(
        state.select(0, 0), try golden.tensor("llama.hidden_states.\(index)"), relative: 1e-4, "state \(index)")
    }
    let whole = try encoder(ids, validCounts: [valid], in: context)
    let crop = 95
    expectClose(
      whole.select(0, 0).slice(0, crop..<whole.shape[1]), try golden.tensor("text_states").select(0, 0), relative: 1e-4,
      "cropped states, padding included")
  }

  @Test(arguments: TestBackend.allCases)
  func `the demo's CLIP gives PyTorch's states and pooled vectors`(_ backend: TestBackend) throws {
    let golden = try Goldens.tensors("demo/text.safetensors")
    let ids = try Goldens.tensors("demo/tokens.safetensors").int32("clip.input_ids").slice(0, 0..<2)
    let scope = WeightScope(try Checkpoint(path: Goldens.repositoryPath("Models/demo/text_encoder_2")))
    let encoder = try CLIPTextEncoder(
      scope,
      configuration: CLIPTextConfiguration(
        ConfigurationReader(contentsOf: Goldens.repositoryPath("Models/demo/text_encoder_2/config.json"))))
    try scope.finish()
    let (states, pooled) = try encoder(ids, in: backend.context)
    expectClose(pooled, try golden.tensor("text_states_2"), relative: 1e-4, "pooled")
    let expected = try golden.tensor("clip.last_hidden_state")
    // The golden was made with a padding mask, which changes the states of padding alone.
    let valid = ids.select(0, 0).integers().firstIndex(of: 929).map { $0 + 1 } ?? 0
    #expect(valid > 10)
    expectClose(states.slice(0, 0..<1).slice(1, 0..<valid), expected.slice(1, 0..<valid), relative: 1e-4, "states")
  }

  private func llama(_ folder: String) throws -> (WeightScope, LlamaConfiguration) {
    (
      WeightScope(try Checkpoint(path: folder + "/weights.safetensors")),
      try LlamaConfiguration(ConfigurationReader(contentsOf: folder + "/config.json"))
    )
  }
}

extension Backend {
  /// A slice of token ids as a tensor of its own.
  fileprivate func contiguousIDs(_ ids: Tensor) -> Tensor {
    Tensor(ids.integers().map(Int32.init(clamping:)), shape: ids.shape)
  }
}
