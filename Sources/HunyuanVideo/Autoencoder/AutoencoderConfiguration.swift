public import Checkpoints
import TensorOps

/// The sizes of the causal 3-D autoencoder, read from `config.json` beside the weights.
///
/// Reference: `hyvideo/vae/autoencoder_kl_causal_3d.py`; defaults are the published `884-16c-hy`.
public struct AutoencoderConfiguration: Sendable, Hashable {
  /// Channels of the encoder's blocks; the decoder's are these in reverse.
  public var blockChannels = [128, 256, 512, 512]
  /// Residual blocks per encoder block; the decoder has one more.
  public var layersPerBlock = 2
  public var normGroups = 32
  public var latentChannels = 16
  public var outputChannels = 3
  /// Latents are divided by this before decoding.
  public var scalingFactor: Float = 0.476986
  public var spatialCompression = 8
  public var timeCompression = 4
  public var hasMidBlockAttention = true
  /// Extent of a tile in pixels and in frames.
  public var tileSize = 256
  public var tileFrames = 64
  /// The share of a tile that overlaps its neighbour.
  public var tileOverlap = 0.25

  public static let hunyuanVideo = AutoencoderConfiguration()

  public init() {}

  /// - Throws: `CheckpointError` for a field of the wrong type, for sizes that the decoder cannot have, and for fields that it
  ///   does not compute or that nobody knows.
  public init(
    _ reader: ConfigurationReader, defaults: AutoencoderConfiguration = .hunyuanVideo
  ) throws(CheckpointError) {
    self = defaults
    blockChannels = try reader.positiveInts("block_out_channels", default: blockChannels)
    layersPerBlock = try reader.positiveInt("layers_per_block", default: layersPerBlock)
    normGroups = try reader.positiveInt("norm_num_groups", default: normGroups)
    latentChannels = try reader.positiveInt("latent_channels", default: latentChannels)
    outputChannels = try reader.positiveInt("out_channels", default: outputChannels)
    scalingFactor = Float(try reader.positiveDouble("scaling_factor", default: Double(scalingFactor)))
    spatialCompression = try reader.positiveInt("spatial_compression_ratio", default: spatialCompression)
    // diffusers' name, then Tencent's.
    timeCompression = try reader.positiveInt("temporal_compression_ratio", default: timeCompression)
    timeCompression = try reader.positiveInt("time_compression_ratio", default: timeCompression)
    hasMidBlockAttention = try reader.bool("mid_block_add_attention", default: hasMidBlockAttention)
    tileSize = try reader.positiveInt("sample_size", default: tileSize)
    tileFrames = try reader.positiveInt("sample_tsize", default: tileFrames)
    try reader.require("act_fn", equals: "silu")
    // The arithmetic of sizes and lengths (multiples of 16, 4n+1) is that of the published autoencoder.
    let timeField = reader.has("time_compression_ratio") ? "time_compression_ratio" : "temporal_compression_ratio"
    for (field, found, expected) in [
      ("spatial_compression_ratio", spatialCompression, 8), (timeField, timeCompression, 4),
    ] {
      try reader.require(field, found == expected, "\(expected)", "\(found)")
    }
    try reader.require("block_out_channels", blockChannels.count == 4, "four numbers", "\(blockChannels)")
    try reader.require(
      "norm_num_groups", blockChannels.allSatisfy { $0 % normGroups == 0 }, "a divisor of \(blockChannels)",
      "\(normGroups)")
    try reader.require(
      "sample_size", tileSize % (4 * spatialCompression) == 0, "a multiple of \(4 * spatialCompression)", "\(tileSize)")
    try reader.require(
      "sample_tsize", tileFrames % (4 * timeCompression) == 0, "a multiple of \(4 * timeCompression)", "\(tileFrames)")
    try Self.refuseOthers(reader)
  }

  /// Refuses what other autoencoders have.
  private static func refuseOthers(_ reader: ConfigurationReader) throws(CheckpointError) {
    try reader.require(
      "_class_name", isOneOf: ["AutoencoderKLCausal3D", "AutoencoderKLHunyuanVideo"],
      effect: "this is another autoencoder")
    try reader.require("shift_factor", isOneOf: [0], effect: "latents are shifted before decoding")
    for key in ["latents_mean", "latents_std"] {
      try reader.require(key, isOneOf: [], effect: "each channel of the latents is scaled by itself")
    }
    for (key, effect) in [
      ("use_post_quant_conv", "latents are decoded without a first convolution"),
      ("mid_block_causal_attn", "attention of the middle sees later frames"),
    ] { try reader.require(key, isOneOf: [true], effect: effect) }
    for kind in try reader.strings("up_block_types", default: [])
    where !["UpDecoderBlockCausal3D", "HunyuanVideoUpBlock3D"].contains(kind) {
      try reader.require("up_block_types", isOneOf: [], effect: "the decoder has blocks of other kinds")
    }
    reader.ignore(InertSettings.ofAutoencoders)
    try reader.finish()
  }

  /// How the decoder's block `index` enlarges its result: space in the first blocks, time in the last before the end.
  func upsampling(afterBlock index: Int) -> Upsampling {
    let spatialLayers = spatialCompression.trailingZeroBitCount
    let timeLayers = timeCompression.trailingZeroBitCount
    let last = blockChannels.count - 1
    let inTime = index >= last - timeLayers && index < last
    return Upsampling(time: inTime ? 2 : 1, space: index < spatialLayers ? 2 : 1)
  }
}
