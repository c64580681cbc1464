import Checkpoints
import HunyuanVideo
import Layers
import StrictJSON
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Every field of a configuration is used, changes nothing, or is refused by name.
@Suite struct SettingTests {
  private static func reader(_ path: String, _ changes: String = "{}") throws -> ConfigurationReader {
    var members = try #require(try JSONValue(contentsOf: Goldens.repositoryPath(path)).object)
    let changes = try #require(try JSONValue(bytes: Array(changes.utf8), file: "changes").object)
    members.merge(changes) { $1 }
    return try ConfigurationReader(.object(members), file: "config.json")
  }

  private static let tencent = "Models/demo/hunyuan-video-t2v-720p/transformers/config.json"
  private static let diffusers = "Tests/Goldens/layouts/diffusers/transformer/config.json"
  private static let autoencoder = "Models/demo/hunyuan-video-t2v-720p/vae/config.json"
  private static let llama = "Models/demo/text_encoder/config.json"
  private static let llava = "Tests/Goldens/layouts/llava/config.json"
  private static let clip = "Models/demo/text_encoder_2/config.json"
  private static let wholeClip = "Tests/Goldens/layouts/clip/config.json"

  private static func read(_ path: String, _ changes: String = "{}") throws {
    let reader = try reader(path, changes)
    switch path {
    case tencent, diffusers: _ = try TransformerConfiguration(reader)
    case autoencoder: _ = try AutoencoderConfiguration(reader)
    case llama, llava: _ = try LlamaConfiguration(reader)
    default: _ = try CLIPTextConfiguration(reader)
    }
  }

  /// A file, fields that change numbers or whose meaning nobody knows, and the one that the message names.
  static let refused: [(String, String, String)] = [
    (tencent, #"{"i2v_condition_type":"token_replace"}"#, "image to video"),
    (tencent, #"{"use_attention_mask":false}"#, "use_attention_mask"),
    (tencent, #"{"mlp_act_type":"gelu"}"#, "mlp_act_type"), (tencent, #"{"qk_norm_type":"layer"}"#, "qk_norm_type"),
    (tencent, #"{"qk_norm":false}"#, "qk_norm"), (tencent, #"{"qkv_bias":false}"#, "qkv_bias"),
    (tencent, #"{"text_projection":"linear"}"#, "text_projection"),
    (tencent, #"{"use_meanflow":true}"#, "HunyuanVideo-1.5"), (tencent, #"{"glyph_byT5_v2":true}"#, "HunyuanVideo-1.5"),
    (tencent, #"{"heads_num":3}"#, "heads_num"), (tencent, #"{"rope_dim_list":[8,12]}"#, "rope_dim_list"),
    (tencent, #"{"window_size":4}"#, "unknown setting: config.json: window_size"),
    (tencent, #"{"_class_name":"WanModel"}"#, "another transformer"),
    (diffusers, #"{"image_condition_type":"latent_concat"}"#, "image to video"),
    (diffusers, #"{"qk_norm":"layer_norm"}"#, "qk_norm"), (diffusers, #"{"new_thing":1}"#, "new_thing"),
    (diffusers, #"{"_class_name":"HunyuanVideoFramepackTransformer3DModel"}"#, "another transformer"),
    (diffusers, #"{"quantization_config":{"quant_method":"bitsandbytes"}}"#, "quantization_config"),
    (autoencoder, #"{"shift_factor":0.1}"#, "shift_factor"), (autoencoder, #"{"act_fn":"gelu"}"#, "act_fn"),
    (autoencoder, #"{"latents_mean":[0.1]}"#, "latents_mean"), (autoencoder, #"{"latents_std":[1]}"#, "latents_std"),
    (autoencoder, #"{"use_post_quant_conv":false}"#, "use_post_quant_conv"),
    (autoencoder, #"{"mid_block_causal_attn":false}"#, "mid_block_causal_attn"),
    (autoencoder, #"{"spatial_compression_ratio":16}"#, "spatial_compression_ratio: expected 8"),
    (autoencoder, #"{"time_compression_ratio":8}"#, "time_compression_ratio: expected 4"),
    (autoencoder, #"{"temporal_compression_ratio":8,"time_compression_ratio":null}"#, "temporal_compression_ratio"),
    (autoencoder, #"{"up_block_types":["UpBlock2D"]}"#, "up_block_types"),
    (autoencoder, #"{"norm_num_groups":7}"#, "norm_num_groups"), (autoencoder, #"{"patch_size":2}"#, "patch_size"),
    (autoencoder, #"{"_class_name":"AutoencoderKLWan"}"#, "another autoencoder"),
    (llama, #"{"rope_scaling":{"type":"dynamic","factor":2.0}}"#, "rope_scaling.type"),
    (llama, #"{"rope_scaling":{"rope_type":"yarn","factor":2.0}}"#, "rope_scaling.rope_type"),
    (llama, #"{"rope_parameters":{"rope_type":"longrope","rope_theta":5e5}}"#, "rope_parameters.rope_type"),
    (llama, #"{"rope_parameters":{"rope_type":"default","rope_theta":10000.0}}"#, "rope_theta"),
    (llama, #"{"rope_theta":10000.0}"#, "rope_theta"),
    (llama, #"{"rope_parameters":{"rope_theta":5e5,"partial_rotary_factor":0.5}}"#, "partial_rotary_factor"),
    (llama, #"{"rope_parameters":{"rope_theta":5e5,"factor":8.0}}"#, "rope_parameters.factor"),
    (llama, #"{"rope_parameters":{"rope_theta":5e5,"turns":8}}"#, "rope_parameters.turns"),
    (
      llama,
      #"{"rope_parameters":{"rope_theta":5e5,"rope_type":"linear","factor":2},"rope_scaling":{"type":"linear","factor":4}}"#,
      "rope_scaling"
    ),
    (llama, #"{"rope_theta":null,"rope_parameters":null}"#, "rope_theta"),
    (llama, #"{"rms_norm_eps":null}"#, "rms_norm_eps"),
    (llama, #"{"attention_bias":true}"#, "attention_bias"), (llama, #"{"mlp_bias":true}"#, "mlp_bias"),
    (llama, #"{"hidden_act":"gelu"}"#, "hidden_act"), (llama, #"{"sliding_window":4096}"#, "sliding_window"),
    (llama, #"{"model_type":"mistral"}"#, "another language model"),
    (llama, #"{"layer_types":["full_attention","sliding_attention"]}"#, "layer_types"),
    (llama, #"{"head_dim":33}"#, "head_dim"), (llama, #"{"num_key_value_heads":3}"#, "num_key_value_heads"),
    (llama, #"{"embedding_multiplier":12.0}"#, "embedding_multiplier"),
    (llama, #"{"pruned_heads":{"1":[0]}}"#, "pruned_heads"),
    (llava, #"{"novelty":1}"#, "novelty"),
    (clip, #"{"hidden_act":"gelu"}"#, "hidden_act"), (clip, #"{"model_type":"t5"}"#, "another text model"),
    (clip, #"{"use_attention_pooling":true}"#, "use_attention_pooling"),
    (wholeClip, #"{"text_config_dict":{"num_attention_heads":8}}"#, "text_config_dict"),
    (wholeClip, #"{"novelty":1}"#, "novelty"),
  ]

  @Test(arguments: refused)
  func `a setting that would change the video is refused by name`(
    _ setting: (file: String, changes: String, word: String)
  ) throws {
    let error = try #require(throws: CheckpointError.self) { try Self.read(setting.file, setting.changes) }
    #expect("\(error)".contains(setting.word), "\(setting.changes): \(error)")
  }

  static let taken: [(String, String)] = [
    (
      tencent,
      #"{"_anything":1,"attn_mode":"flash","use_attention_mask":true,"i2v_condition_type":null,"dtype":"bf16"}"#
    ),
    (diffusers, #"{"_name_or_path":"x","_diffusers_version":"0.99.0","torch_dtype":"bfloat16"}"#),
    (
      autoencoder,
      #"{"shift_factor":null,"use_quant_conv":true,"force_upcast":true,"double_z":true,"latents_mean":null}"#
    ),
    (autoencoder, #"{"shift_factor":0.0,"use_post_quant_conv":true}"#),
    (
      llama,
      #"{"rope_scaling":{"rope_type":"default"},"sliding_window":null,"pretraining_tp":2,"tie_word_embeddings":true}"#
    ),
    (
      llama,
      #"{"eos_token_id":[1,2],"torch_dtype":"float16","temperature":0.6,"top_p":0.9,"layer_types":["full_attention"]}"#
    ),
    (llama, #"{"pruned_heads":{},"id2label":{"0":"a"},"use_cache":false,"_attn_implementation_autoset":true}"#),
    (llava, #"{"vision_feature_layer":-3,"projector_hidden_act":"relu"}"#),
    (clip, #"{"projection_dim":12,"dropout":0.1,"bos_token_id":0}"#),
    (wholeClip, #"{"text_config_dict":{"num_attention_heads":4,"projection_dim":32},"logit_scale_init_value":1}"#),
  ]

  @Test(arguments: taken)
  func `settings that change nothing are no obstacle`(_ setting: (file: String, changes: String)) throws {
    try Self.read(setting.file, setting.changes)
  }

  // MARK: Positions

  @Test(arguments: ["theta", "linear", "llama3"])
  func `positions turn as transformers says in rope_parameters`(_ name: String) throws {
    let folder = Goldens.path("settings/positions/\(name)")
    let golden = try Goldens.tensors("settings/positions/\(name)/expected.safetensors")
    let configuration = try LlamaConfiguration(ConfigurationReader(contentsOf: folder + "/config.json"))
    let scope = WeightScope(try Checkpoint(path: Goldens.path("llama/six_heads/weights.safetensors")))
    let encoder = try LlamaTextEncoder(scope, configuration: configuration, skippedLayers: 0)
    for backend in TestBackend.allCases {
      let state = try encoder(golden.int32("input_ids"), in: backend.context)
      expectClose(
        try backend.context.backend.download(state), try golden.tensor("state"), relative: 1e-4, "\(name), \(backend)")
    }
  }

  @Test func `the older places of theta and scaling mean the same`() throws {
    let newer = try LlamaConfiguration(
      Self.reader(
        Self.llama,
        #"{"rope_theta":null,"rope_parameters":{"rope_theta":2e4,"rope_type":"linear","factor":3.0},"rope_scaling":null}"#
      ))
    let older = try LlamaConfiguration(
      Self.reader(
        Self.llama, #"{"rope_theta":2e4,"rope_parameters":null,"rope_scaling":{"type":"linear","factor":3.0}}"#))
    #expect(newer == older && newer.rotaryTheta == 20_000 && newer.rotaryScaling == .linear(factor: 3))
    // Within rope_scaling too, which newer versions take for rope_parameters.
    let mixed = try LlamaConfiguration(
      Self.reader(
        Self.llama,
        #"{"rope_theta":null,"rope_parameters":null,"rope_scaling":{"rope_theta":2e4,"rope_type":"linear","factor":3}}"#
      ))
    #expect(mixed == newer)
  }

  // MARK: Notes of GGUF files

  private func notes(_ more: [(key: String, value: GGUFWriter.Note)], factors: [Float]? = nil) throws
    -> LlamaConfiguration
  {
    let folder = try TemporaryPath()
    let source = try Checkpoint(path: Goldens.path("layouts/llama_cpp/model.gguf"))
    var tensors = source.tensors.map { (name: $0.name, tensor: $0.tensor) }
    if let factors { tensors.append(("rope_freqs.weight", Tensor(factors, shape: [factors.count]))) }
    let path = folder.path + "/model.gguf"
    var notes: [(key: String, value: GGUFWriter.Note)] = [
      ("general.architecture", .text("llama")), ("llama.attention.head_count", .number(6)),
      ("llama.attention.head_count_kv", .number(3)),
    ]
    notes.removeAll { note in more.contains { $0.key == note.key } }
    let writer = try GGUFWriter(
      path: path,
      entries: tensors.map { GGUFWriter.Entry(name: $0.name, dtype: $0.tensor.dtype, shape: $0.tensor.shape) },
      notes: notes + more)
    for (name, tensor) in tensors {
      try writer.append(UnsafeRawBufferPointer(start: tensor.hostPointer, count: tensor.byteCount), to: name)
    }
    try writer.finish()
    return try PublishedNetwork(path: path, expecting: .llama).llamaConfiguration()
  }

  @Test func `notes of a GGUF file that scale positions are followed, and so are factors in its tensors`() throws {
    #expect(try notes([]).rotaryScaling == .none)
    let linear = try notes([("llama.rope.scaling.type", .text("linear")), ("llama.rope.scaling.factor", .text("4.0"))])
    #expect(linear.rotaryScaling == .linear(factor: 4))
    #expect(try notes([], factors: [1, 1, 1, 1]).rotaryScaling == .none)
    #expect(try notes([], factors: [1, 2, 4, 8]).rotaryScaling == .each([1, 2, 4, 8]))
  }

  @Test(arguments: [
    ("llama.rope.scaling.type", "yarn"), ("llama.rope.dimension_count", "4"), ("llama.vocab_size", "7"),
    ("llama.block_count", "9"), ("llama.expert_count", "8"), ("llama.attention.sliding_window", "128"),
  ])
  func `a note that asks for something else is refused by name`(_ key: String, _ value: String) throws {
    let error = try #require(throws: CheckpointError.self) { try notes([(key, .text(value))]) }
    #expect("\(error)".contains(key), "\(error)")
  }
}
