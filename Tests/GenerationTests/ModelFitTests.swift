import CPUBackend
import Checkpoints
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorTesting
import Testing

/// Networks that do not fit each other are refused before anything is computed, whatever parts are put together.
@Suite struct ModelFitTests {
  private func verify(_ root: String, _ parts: ModelParts = ModelParts()) throws {
    let model = try ModelFolder(root, parts: parts)
    let pipeline = VideoPipeline(model, in: ForwardContext(backend: CPUBackend()), observer: QuietObserver())
    var request = GenerationRequest(prompt: "x", seed: 1, defaults: model.defaults)
    (request.height, request.width, request.frames) = (32, 32, 5)
    try pipeline.verify([request])
  }

  static let channels = [4, 8, 16, 32, 33].flatMap { inputs in
    [8, 16, 32].flatMap { outputs in [4, 8, 16, 32].map { (inputs, outputs, $0) } }
  }

  @Test(arguments: channels)
  func `only a transformer whose inputs and outputs are the decoder's latents is taken`(
    _ inputs: Int, _ outputs: Int, _ latents: Int
  ) throws {
    let copy = try CheckpointCopy()
    try copy.reshapeTransformer(inputs: inputs, outputs: outputs)
    try copy.reshapeDecoder(latents: latents)
    if inputs == outputs && outputs == latents { return try verify(copy.root) }
    let error = try #require(throws: (any Error).self) { try verify(copy.root) }
    #expect(
      "\(error)".contains(
        inputs == outputs
          ? "latents of \(inputs) channels" : inputs == 33 && outputs == 16 ? "image-to-video" : "\(inputs)"),
      "\(error)")
  }

  @Test(arguments: [
    ("text_states_dim", ["txt_in.input_embedder.weight", "txt_in.c_embedder.linear_1.weight"]),
    ("text_states_dim_2", ["vector_in.in_layer.weight"]),
  ])
  func `texts of another width than the transformer's are refused before a run and before its plan`(
    _ field: String, _ weights: [String]
  ) throws {
    let copy = try CheckpointCopy()
    try copy.reshape(
      CheckpointCopy.transformer, Dictionary(uniqueKeysWithValues: weights.map { ($0, [128, 32] as Shape) }))
    try copy.change("hunyuan-video-t2v-720p/transformers/config.json", [field: 32])
    let planned = try #require(throws: RequestError.self) {
      _ = try RunPlanner(ModelFolder(copy.root)) { _ in
        PlanningBackends(CPUPlanningBackend(for: CPUBackend(threads: 1)))
      }
    }
    for error in [planned, try #require(throws: RequestError.self) { try verify(copy.root) }] {
      #expect("\(error)".contains("text encoder does not fit the transformer"), "\(error)")
      #expect("\(error)".contains("expected 32 channels"), "\(error)")
    }
  }

  @Test func `a configuration that names its network counts, whatever else it leaves out`() throws {
    let copy = try CheckpointCopy()
    // As libraries write one that leaves out what has its default.
    try copy.change("text_encoder_2/config.json", ["layer_norm_eps": nil, "max_position_embeddings": nil])
    try verify(copy.root)
    try copy.change("text_encoder_2/config.json", ["hidden_act": "gelu"])
    #expect("\(try #require(throws: CheckpointError.self) { try verify(copy.root) })".contains("hidden_act"))
    try copy.change("text_encoder_2/config.json", ["hidden_act": "quick_gelu", "num_attention_heads": nil])
    #expect("\(try #require(throws: CheckpointError.self) { try verify(copy.root) })".contains("num_attention_heads"))
  }

  @Test(arguments: [[2, 2, 2], [1, 4, 4], [2, 1, 1], [1, 3, 3]])
  func `tokens that latents cannot be cut into are refused`(_ patch: [Int]) throws {
    let copy = try CheckpointCopy()
    try copy.reshapeTransformer(inputs: 16, outputs: 16, patch: patch)
    let error = try #require(throws: CheckpointError.self) { try verify(copy.root) }
    #expect("\(error)".contains("\(patch)"), "\(error)")
  }

  @Test func `a transformer whose tokens are single latents makes latents of the same shape`() throws {
    let copy = try CheckpointCopy()
    try copy.reshapeTransformer(inputs: 16, outputs: 16, patch: [1, 1, 1])
    try verify(copy.root)
    let model = try ModelFolder(copy.root)
    let pipeline = VideoPipeline(model, in: ForwardContext(backend: CPUBackend()), observer: QuietObserver())
    var request = GenerationRequest(prompt: "x", seed: 1, defaults: model.defaults)
    (request.height, request.width, request.frames, request.steps) = (16, 32, 5, 1)
    let latents = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
    #expect(latents.shape == [1, 16, 2, 2, 4] && latents.floats().allSatisfy(\.isFinite))
  }

  /// A file, fields of it that contradict the tensors, and a word of the message.
  nonisolated(unsafe) static let contradictions: [(String, [String: Any?], String)] = [
    ("hunyuan-video-t2v-720p/transformers/config.json", ["guidance_embed": false], "guidance_in"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["in_channels": 32], "img_in.proj.weight"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["out_channels": 8], "final_layer.linear.weight"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["patch_size": [1, 1, 1]], "img_in.proj.weight"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["heads_num": 5], "heads_num"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["heads_num": 8, "rope_dim_list": [4, 6, 6]], "norm.weight"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["text_states_dim": 64], "txt_in"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["text_states_dim_2": 128], "vector_in"),
    ("hunyuan-video-t2v-720p/transformers/config.json", ["mlp_width_ratio": 2.0], "mlp"),
    ("hunyuan-video-t2v-720p/vae/config.json", ["latent_channels": 8], "post_quant_conv"),
    ("hunyuan-video-t2v-720p/vae/config.json", ["spatial_compression_ratio": 16], "spatial_compression_ratio"),
    ("hunyuan-video-t2v-720p/vae/config.json", ["time_compression_ratio": 8], "time_compression_ratio"),
    ("hunyuan-video-t2v-720p/vae/config.json", ["mid_block_add_attention": false], "attentions"),
    ("hunyuan-video-t2v-720p/vae/config.json", ["out_channels": 4], "conv_out"),
    ("text_encoder/config.json", ["num_attention_heads": 3], "num_key_value_heads"),
    ("text_encoder/config.json", ["head_dim": 16], "q_proj"),
    ("text_encoder/config.json", ["hidden_size": 64], "embed_tokens"),
    ("text_encoder_2/config.json", ["num_attention_heads": 5], "num_attention_heads"),
    ("text_encoder_2/config.json", ["hidden_size": 32], "token_embedding"),
  ]

  @Test(arguments: 0..<contradictions.count)
  func `a configuration that says another thing than the tensors is refused by a name`(_ index: Int) throws {
    let (file, fields, word) = Self.contradictions[index]
    let copy = try CheckpointCopy()
    try copy.change(file, fields)
    let error = try #require(throws: (any Error).self) { try verify(copy.root) }
    #expect("\(error)".contains(word), "\(fields): \(error)")
  }

  @Test(arguments: [
    ("vae", "--dit-weight"), ("transformer", "--vae-path"), ("llama", "--text-encoder-2-path"),
    ("clip", "--text-encoder-path"),
  ])
  func `a network in another's place is refused by the flag that it is for`(_ given: String, _ flag: String) throws {
    let demo = Goldens.repositoryPath("Models/demo")
    let file = [
      "vae": CheckpointCopy.autoencoder, "transformer": CheckpointCopy.transformer,
      "llama": "text_encoder/model.safetensors",
      "clip": "text_encoder_2/model.safetensors",
    ][given].map { demo + "/" + $0 }
    var parts = ModelParts()
    parts.tokenizer = demo + "/text_encoder"
    parts.tokenizer2 = demo + "/text_encoder_2"
    switch flag {
    case "--dit-weight": parts.transformer = file
    case "--vae-path": parts.autoencoder = file
    case "--text-encoder-path": parts.textEncoder = file
    default: parts.textEncoder2 = file
    }
    let error = try #require(throws: CheckpointError.self) { try verify(demo, parts) }
    let own = [
      "vae": "--vae-path", "transformer": "--dit-weight", "llama": "--text-encoder-path",
      "clip": "--text-encoder-2-path",
    ]
    #expect(
      "\(error)".contains("name it with \(own[given] ?? "")") && "\(error)".contains("another file with \(flag)"),
      "\(error)")
  }

  @Test func `weights that are named as image to video are warned of`() throws {
    let copy = try CheckpointCopy(empty: "files")
    try copy.link(
      "hunyuan_video_v2_replace_image_to_video.safetensors", toPackage: "Models/demo/\(CheckpointCopy.transformer)")
    try copy.link("config.json", toPackage: "Models/demo/hunyuan-video-t2v-720p/transformers/config.json")
    let path = copy.root + "/hunyuan_video_v2_replace_image_to_video.safetensors"
    let model = try ModelFolder(Goldens.repositoryPath("Models/demo"), parts: ModelParts(transformer: path))
    let observer = QuietObserver()
    try VideoPipeline(model, in: ForwardContext(backend: CPUBackend()), observer: observer).verify([])
    #expect(observer.warnings.count == 1 && observer.warnings[0].contains("named as image-to-video weights are"))
  }
}

/// Keeps warnings.
private final class QuietObserver: GenerationObserver {
  private(set) var warnings: [String] = []

  func warn(_ message: String) { warnings.append(message) }
}
