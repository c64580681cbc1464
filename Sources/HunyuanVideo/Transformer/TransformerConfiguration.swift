public import Checkpoints

/// The sizes of a HunyuanVideo transformer. Everything is read from `config.json` beside the weights; the presets are
/// the two published networks.
///
/// Reference: `hyvideo/modules/models.py`, `HUNYUAN_VIDEO_CONFIG`.
public struct TransformerConfiguration: Sendable, Hashable {
  /// Channels of a token, `C`.
  public var hiddenSize = 3072
  /// Attention heads, `N`.
  public var headCount = 24
  public var doubleBlockCount = 20
  public var singleBlockCount = 40
  public var refinerBlockCount = 2
  /// Channels of a head that turn with time, height and width; their sum is the head dimension `D`.
  public var rotaryDimensions = [16, 56, 56]
  public var rotaryTheta: Float = 256
  /// Extent of a token in time, height and width of the latents.
  public var patchSize = [1, 2, 2]
  public var inputChannels = 16
  public var outputChannels = 16
  /// Width of the MLPs as a multiple of the hidden size.
  public var mlpRatio = 4.0
  /// Whether the network was distilled with the guidance scale as an input.
  public var hasGuidanceEmbedding = true
  /// Channels of the first and of the second text encoder's output.
  public var textChannels = 4096
  public var pooledTextChannels = 768

  public var headDimension: Int { hiddenSize / headCount }
  public var mlpHiddenSize: Int { Int(Double(hiddenSize) * mlpRatio) }
  public var patchVolume: Int { patchSize.reduce(1, *) }

  /// `HYVideo-T/2`.
  public static let hyvideoT2 = TransformerConfiguration(hasGuidanceEmbedding: false)
  /// `HYVideo-T/2-cfgdistill`, the released weights.
  public static let hyvideoT2Distilled = TransformerConfiguration()

  public init(hasGuidanceEmbedding: Bool = true) { self.hasGuidanceEmbedding = hasGuidanceEmbedding }

  /// Reads Tencent's field names, or diffusers'; fields that are absent keep the given sizes.
  /// - Throws: `CheckpointError` for a field of the wrong type, for sizes that contradict each other, and for fields that the
  ///   network does not compute or that nobody knows.
  public init(
    _ reader: ConfigurationReader, defaults: TransformerConfiguration = .hyvideoT2Distilled
  ) throws(CheckpointError) {
    self = defaults
    let isDiffusers = reader.has("attention_head_dim")
    if isDiffusers { try readDiffusersFields(reader) } else { try readTencentFields(reader) }
    let names =
      isDiffusers ? ("num_attention_heads", "rope_axes_dim") : ("heads_num", "rope_dim_list")
    try reader.require(
      names.0, hiddenSize % headCount == 0, "a divisor of hidden_size \(hiddenSize)", "\(headCount)")
    try reader.require(
      names.1,
      rotaryDimensions.count == 3 && rotaryDimensions.allSatisfy { $0 % 2 == 0 }
        && rotaryDimensions.reduce(0, +) == headDimension,
      "three even numbers with the sum \(headDimension)", "\(rotaryDimensions)")
    try reader.require("patch_size", patchSize.count == 3, "three numbers", "\(patchSize)")
    try refuseOthers(reader, isDiffusers: isDiffusers)
  }

  /// Refuses what other transformers of these names have.
  private func refuseOthers(_ reader: ConfigurationReader, isDiffusers: Bool) throws(CheckpointError) {
    try reader.require(
      "_class_name", isOneOf: ["HYVideoDiffusionTransformer", "HunyuanVideoTransformer3DModel"],
      effect: "this is another transformer")
    for key in ["image_condition_type", "i2v_condition_type"] {
      try reader.require(key, isOneOf: [], effect: "this network makes videos from a picture (image to video)")
    }
    try reader.require(
      "quantization_config", isOneOf: [], effect: "weights are quantized in a way that the file's tensors do not tell")
    if isDiffusers {
      try reader.require("qk_norm", equals: "rms_norm")
    } else {
      try reader.require("mlp_act_type", equals: "gelu_tanh")
      try reader.require("qk_norm_type", equals: "rms")
      try reader.require("text_projection", equals: "single_refiner")
      for field in ["qkv_bias", "qk_norm"] {
        try reader.require(field, reader.bool(field, default: true), "true", "false")
      }
      try reader.require("use_attention_mask", isOneOf: [true], effect: "the padding of prompts is looked at")
      for key in ["concat_condition", "glyph_byT5_v2", "use_cond_type_embedding", "use_meanflow"] {
        try reader.require(key, isOneOf: [false], effect: "this is a network of HunyuanVideo-1.5")
      }
    }
    reader.ignore(InertSettings.ofDiffusionModels)
    try reader.finish()
  }

  private mutating func readTencentFields(_ reader: ConfigurationReader) throws(CheckpointError) {
    hiddenSize = try reader.positiveInt("hidden_size", default: hiddenSize)
    headCount = try reader.positiveInt("heads_num", default: headCount)
    doubleBlockCount = try reader.positiveInt("mm_double_blocks_depth", default: doubleBlockCount)
    singleBlockCount = try reader.positiveInt("mm_single_blocks_depth", default: singleBlockCount)
    refinerBlockCount = try reader.positiveInt("refiner_depth", default: refinerBlockCount)
    rotaryDimensions = try reader.positiveInts("rope_dim_list", default: rotaryDimensions)
    rotaryTheta = Float(try reader.positiveDouble("rope_theta", default: Double(rotaryTheta)))
    patchSize = try reader.positiveInts("patch_size", default: patchSize, atMost: 16)
    inputChannels = try reader.positiveInt("in_channels", default: inputChannels)
    outputChannels = try reader.positiveInt("out_channels", default: outputChannels)
    mlpRatio = try reader.positiveDouble("mlp_width_ratio", default: mlpRatio, atMost: 64)
    hasGuidanceEmbedding = try reader.bool("guidance_embed", default: hasGuidanceEmbedding)
    textChannels = try reader.positiveInt("text_states_dim", default: textChannels)
    pooledTextChannels = try reader.positiveInt("text_states_dim_2", default: pooledTextChannels)
  }

  private mutating func readDiffusersFields(_ reader: ConfigurationReader) throws(CheckpointError) {
    headCount = try reader.positiveInt("num_attention_heads", default: headCount)
    hiddenSize = try headCount * reader.positiveInt("attention_head_dim")
    doubleBlockCount = try reader.positiveInt("num_layers", default: doubleBlockCount)
    singleBlockCount = try reader.positiveInt("num_single_layers", default: singleBlockCount)
    refinerBlockCount = try reader.positiveInt("num_refiner_layers", default: refinerBlockCount)
    rotaryDimensions = try reader.positiveInts("rope_axes_dim", default: rotaryDimensions)
    rotaryTheta = Float(try reader.positiveDouble("rope_theta", default: Double(rotaryTheta)))
    let patch = try reader.positiveInt("patch_size", default: patchSize[1], atMost: 16)
    patchSize = [try reader.positiveInt("patch_size_t", default: patchSize[0], atMost: 16), patch, patch]
    inputChannels = try reader.positiveInt("in_channels", default: inputChannels)
    outputChannels = try reader.positiveInt("out_channels", default: outputChannels)
    mlpRatio = try reader.positiveDouble("mlp_ratio", default: mlpRatio, atMost: 64)
    hasGuidanceEmbedding = try reader.bool("guidance_embeds", default: hasGuidanceEmbedding)
    textChannels = try reader.positiveInt("text_embed_dim", default: textChannels)
    pooledTextChannels = try reader.positiveInt("pooled_projection_dim", default: pooledTextChannels)
  }
}
