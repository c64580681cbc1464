import Checkpoints
import HunyuanVideo
import Layers
import StrictJSON
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// What releases call things, against the full key lists of the published files.
@Suite struct ReleaseTests {
  /// Memory that is never touched: networks of the published sizes are built from names and shapes alone.
  private final class NoStorage: Storage {
    let byteCount = Int.max / 2
    var hostAddress: UnsafeMutableRawPointer? { nil }
  }

  /// The names and shapes of a published file.
  private func shapes(_ list: String) throws -> [String: Shape] {
    let members = try #require(try Goldens.json("keys/\(list).json").object)
    return members.mapValues { Shape($0.array?.compactMap(\.int) ?? []) }
  }

  private func published(_ list: String, renamed: (String) -> String = { $0 }) throws -> PublishedNetwork {
    let storage = NoStorage()
    let tensors = try shapes(list).sorted { $0.key < $1.key }.map { name, shape in
      (name: renamed(name), tensor: Tensor(shape: shape, dtype: .bfloat16, storage: storage))
    }
    return try PublishedNetwork(Checkpoint(tensors))
  }

  @Test(arguments: [
    ("transformer_tencent", "Tencent", 856), ("transformer_diffusers", "diffusers", 1264),
    ("transformer_comfy", "ComfyUI, prefix model.model.", 856),
  ])
  func `the table of a transformer release is a bijection with its full key list`(
    _ list: String, _ name: String, _ count: Int
  ) throws {
    let network = try published(list)
    #expect(network.names.name == name && network.names.network == .transformer)
    let keys = Set(try shapes(list).keys)
    #expect(keys.count == count)
    let canonical = try shapes("transformer_tencent")
    var stored: [String] = []
    for parameter in canonical.keys {
      let place = network.names.keys.stored(parameter)
      stored += place.keys
      for key in place.keys { #expect(network.names.keys.name(forStoredKey: key) == parameter) }
    }
    #expect(stored.count == count && Set(stored) == keys)
    let scope = network.scope()
    #expect(Set(scope.names) == Set(canonical.keys))
    for (parameter, shape) in canonical { #expect(scope.shape(of: parameter) == shape, "\(parameter)") }
  }

  @Test(arguments: ["transformer_tencent", "transformer_diffusers", "transformer_comfy"])
  func `a published transformer without a configuration builds with every tensor used`(_ list: String) throws {
    let network = try published(list)
    let configuration = try network.transformerConfiguration()
    #expect(configuration == .hyvideoT2Distilled)
    let scope = network.scope()
    _ = try HunyuanVideoTransformer(scope, configuration: configuration)
    try scope.finish()
    #expect(network.checkpoint.elementCount == 12_821_012_544)
  }

  @Test(arguments: ["", "model.", "diffusion_model.", "model.diffusion_model."])
  func `known prefixes before Tencent's names are taken off`(_ prefix: String) throws {
    let network = try published("transformer_tencent") { prefix + $0 }
    let scope = network.scope()
    _ = try HunyuanVideoTransformer(scope, configuration: network.transformerConfiguration())
    try scope.finish()
  }

  @Test func `the published autoencoder and text encoders build from their tensors alone`() throws {
    let vae = try published("vae")
    let decoderScope = vae.scope()
    #expect(try vae.autoencoderConfiguration() == .hunyuanVideo)
    _ = try VideoDecoder(decoderScope, configuration: vae.autoencoderConfiguration())
    try decoderScope.finish()

    let clip = try published("clip")
    let clipScope = clip.scope()
    #expect(try clip.clipConfiguration() == .clipL)
    _ = try CLIPTextEncoder(clipScope, configuration: clip.clipConfiguration())
    try clipScope.finish()
  }

  /// How releases of the language model begin its keys, and what they call it.
  static let languageModels: [(String, @Sendable (String) -> String)] = [
    ("transformers, LlamaForCausalLM", { $0 }),
    ("LLaVA", { "language_model.\($0)" }),
    (
      "LLaVA, prefix model.",
      { $0 == "lm_head.weight" ? $0 : "model.language_model." + $0.dropFirst("model.".count) }
    ),
    (
      "llama.cpp",
      { name in
        // gguf-py's table for LLaMA.
        let parts = [
          ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
          ("model.layers.", "blk."), ("input_layernorm", "attn_norm"), ("self_attn.q_proj", "attn_q"),
          ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
          ("post_attention_layernorm", "ffn_norm"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"),
          ("mlp.down_proj", "ffn_down"),
        ]
        return parts.reduce(name) { text, part in
          guard let range = text.firstRange(of: part.0) else { return text }
          return text[..<range.lowerBound] + part.1 + text[range.upperBound...]
        }
      }
    ),
  ]

  @Test(arguments: 0..<4)
  func `every release of LLaMA builds with every tensor used`(_ index: Int) throws {
    let (name, rename) = Self.languageModels[index]
    let network = try published("llama", renamed: rename)
    #expect(network.names.name == name)
    #expect(try network.llamaConfiguration() == .llama3Of8Billion)
    let scope = network.scope()
    _ = try LlamaTextEncoder(scope, configuration: network.llamaConfiguration())
    try scope.finish()
    for key in try shapes("llama").keys where key != "lm_head.weight" {
      #expect(network.names.keys.stored(key).keys == [rename(key)])
      #expect(network.names.keys.name(forStoredKey: rename(key)) == key)
    }
  }

  @Test func `the lists of parameters are those of the published files`() throws {
    func list(_ parameters: [ParameterShape]) -> [String: Shape] {
      Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.shape) })
    }
    #expect(list(TransformerConfiguration.hyvideoT2Distilled.parameters) == (try shapes("transformer_tencent")))
    #expect(list(AutoencoderConfiguration.hunyuanVideo.parameters) == (try shapes("vae")))
    #expect(
      list(LlamaConfiguration.llama3Of8Billion.parameters)
        == (try shapes("llama").filter { $0.key != "lm_head.weight" }))
    let text = try shapes("clip").filter { $0.key.hasPrefix("text_model.") }
    #expect(list(CLIPTextConfiguration.clipL.parameters) == text)
  }

  @Test func `what is no network, and sizes that no tensor tells, are refused`() throws {
    let other = RandomCheckpoint(["unet.weight": [2, 2]], seed: 1).checkpoint
    #expect(throws: CheckpointError.self) { try PublishedNetwork(other) }
    let tiny = Goldens.path("transformer/guidance/weights.safetensors")
    let tensors = try SafetensorsFile(path: tiny).tensors.map { (name: $0.name, tensor: $0.tensor) }
    let error = try #require(throws: CheckpointError.self) {
      try PublishedNetwork(Checkpoint(tensors)).transformerConfiguration()
    }
    #expect("\(error)".contains("rope_dim_list") && "\(error)".contains("config.json"))
    let wrong = try #require(throws: CheckpointError.self) { try PublishedNetwork(path: tiny, expecting: .llama) }
    #expect("\(wrong)".contains("LLaMA") && "\(wrong)".contains("HunyuanVideo transformer"))
  }
}
