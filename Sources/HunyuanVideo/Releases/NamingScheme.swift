public import Checkpoints

/// The networks that a text-to-video release consists of.
public enum NetworkKind: String, Sendable, CaseIterable {
  case transformer, autoencoder, llama, clip

  /// The network's name in messages.
  public var title: String {
    switch self {
    case .transformer: "HunyuanVideo transformer"
    case .autoencoder: "HunyuanVideo causal 3-D autoencoder"
    case .llama: "LLaMA language model"
    case .clip: "CLIP text model"
    }
  }

  /// The flag that names a file of it.
  public var flag: String {
    switch self {
    case .transformer: "--dit-weight"
    case .autoencoder: "--vae-path"
    case .llama: "--text-encoder-path"
    case .clip: "--text-encoder-2-path"
    }
  }
}

/// What a release calls the tensors of one network.
public struct NamingScheme: Sendable {
  /// The release's name: `Tencent`, `diffusers`, `ComfyUI`, … with the prefix of its keys, where it has one.
  public let name: String
  public let network: NetworkKind
  public let keys: any KeyTable
  /// Whether the rows of both halves of each head alternate in query and key projections.
  var alternatesHeadHalves: Bool { name == "llama.cpp" }

  /// Recognizes the network that a checkpoint holds by tensors that no other network and no other release has.
  /// - Returns: nil for a checkpoint of something else, though it may have these tensors among others.
  public init?(of checkpoint: Checkpoint) {
    guard OtherNetwork(of: checkpoint) == nil, let scheme = NamingScheme.recognized(checkpoint) else { return nil }
    self = scheme
  }

  private init(_ name: String, _ network: NetworkKind, _ keys: any KeyTable, prefix: String = "") {
    self.name = prefix.isEmpty ? name : "\(name), prefix \(prefix)"
    self.network = network
    self.keys = keys
  }

  private static func recognized(_ checkpoint: Checkpoint) -> NamingScheme? {
    // Prefixes are known ones: a network inside an unknown wrapper is better refused than guessed.
    for prefix in ["", "model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "model."] {
      func has(_ key: String) -> Bool { checkpoint[prefix + key] != nil }
      if has("context_embedder.token_refiner.refiner_blocks.0.norm_out.linear.weight") {
        return NamingScheme("diffusers", .transformer, diffusers(prefix), prefix: prefix)
      }
      guard has("txt_in.individual_token_refiner.blocks.0.norm1.weight") else { continue }
      return has("time_in.in_layer.weight")
        ? NamingScheme("ComfyUI", .transformer, comfy(prefix), prefix: prefix)
        : NamingScheme("Tencent", .transformer, KeyRules([], storedPrefix: prefix, foreign: markers), prefix: prefix)
    }
    func has(_ key: String) -> Bool { checkpoint[key] != nil }
    // As Tencent's loader has it: with this prefix, what lacks it is no part of the autoencoder.
    if has("vae.decoder.conv_in.conv.weight") {
      return NamingScheme("Tencent", .autoencoder, PrefixedKeys("vae."), prefix: "vae.")
    }
    if has("decoder.conv_in.conv.weight") { return NamingScheme("Tencent", .autoencoder, CanonicalKeys()) }
    for (name, probe, keys) in languageModels where has(probe) { return NamingScheme(name, .llama, keys) }
    if has("text_model.final_layer_norm.weight") {
      let other = ["vision_model.", "visual_projection.", "text_projection.", "logit_scale"]
      return NamingScheme("transformers", .clip, KeyRules([], foreign: markers + other, computed: clipBuffers))
    }
    if has("final_layer_norm.weight") && has("embeddings.position_embedding.weight") {
      // As transformers 5 saves the text model alone.
      let rules = KeyRules(
        [], canonicalPrefix: "text_model.", foreign: markers + ["text_projection.", "logit_scale"],
        computed: clipBuffers)
      return NamingScheme("transformers, text model", .clip, rules)
    }
    return nil
  }

  /// Buffers of the language model that older versions of transformers saved: in each layer, later for all.
  private static let llamaBuffers =
    ["inv_freq", "cos_cached", "sin_cached"].flatMap {
      ["model.layers.#.self_attn.rotary_emb.\($0)", "model.rotary_emb.\($0)"]
    } + ["model.layers.#.self_attn.bias", "model.layers.#.self_attn.masked_bias"]
  private static let clipBuffers = ["text_model.embeddings.position_ids"]

  /// Tensors that say how a file was made.
  private static let markers = ["scaled_fp8", "fp8_scale"]

  static func diffusers(_ prefix: String = "") -> KeyRules {
    KeyRules(diffusersTransformerRules, storedPrefix: prefix, foreign: markers)
  }

  static func comfy(_ prefix: String = "model.model.") -> KeyRules {
    KeyRules(comfyTransformerRules, storedPrefix: prefix, foreign: markers.flatMap { [$0, prefix + $0] })
  }

  /// A name, a key that tells the scheme, and its table. Canonical names are those of `LlamaForCausalLM`.
  private static let languageModels: [(String, String, any KeyTable)] = [
    (
      "transformers, LlamaForCausalLM", "model.embed_tokens.weight",
      KeyRules([], foreign: markers, computed: llamaBuffers)
    ),
    (
      "transformers, LlamaModel", "embed_tokens.weight",
      KeyRules([], canonicalPrefix: "model.", foreign: markers, computed: llamaBuffers)
    ),
    (
      "LLaVA", "language_model.model.embed_tokens.weight",
      KeyRules(
        [], storedPrefix: "language_model.", foreign: markers + ["vision_tower.", "multi_modal_projector."],
        computed: llamaBuffers)
    ),
    (
      "LLaVA, prefix model.", "model.language_model.embed_tokens.weight",
      KeyRules(
        [], canonicalPrefix: "model.", storedPrefix: "model.language_model.",
        foreign: markers + ["model.vision_tower.", "model.multi_modal_projector.", "lm_head."], computed: llamaBuffers)
    ),
    (
      "llama.cpp", "token_embd.weight",
      KeyRules(llamaCppRules, foreign: ["rope_freqs."], computed: ["blk.#.attn_rot_embd.weight"])
    ),
  ]
}

/// llama.cpp's names.
private let llamaCppRules: [KeyRules.Rule] = [
  .init("model.embed_tokens", "token_embd"), .init("model.norm", "output_norm"), .init("lm_head", "output"),
  .init("model.layers.#.input_layernorm", "blk.#.attn_norm"),
  .init("model.layers.#.self_attn.q_proj", "blk.#.attn_q"),
  .init("model.layers.#.self_attn.k_proj", "blk.#.attn_k"),
  .init("model.layers.#.self_attn.v_proj", "blk.#.attn_v"),
  .init("model.layers.#.self_attn.o_proj", "blk.#.attn_output"),
  .init("model.layers.#.post_attention_layernorm", "blk.#.ffn_norm"),
  .init("model.layers.#.mlp.gate_proj", "blk.#.ffn_gate"),
  .init("model.layers.#.mlp.up_proj", "blk.#.ffn_up"),
  .init("model.layers.#.mlp.down_proj", "blk.#.ffn_down"),
]
