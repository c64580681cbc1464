public import Checkpoints
public import Layers
public import TensorCore
public import TensorOps

/// Residual blocks at one resolution, then an enlargement.
private struct UpBlock: Sendable {
  let residualBlocks: [ResidualBlock]
  let upsampling: Upsampling
  let upsampler: CausalConvolution?

  init(
    _ scope: WeightScope, inputs: Int, outputs: Int, upsampling: Upsampling, _ configuration: AutoencoderConfiguration
  ) throws(CheckpointError) {
    var blocks: [ResidualBlock] = []
    for index in 0...configuration.layersPerBlock {
      blocks.append(
        try ResidualBlock(
          scope["resnets"][index], inputs: index == 0 ? inputs : outputs, outputs: outputs,
          groups: configuration.normGroups))
    }
    residualBlocks = blocks
    self.upsampling = upsampling
    upsampler =
      upsampling == .none
      ? nil
      : try CausalConvolution(scope["upsamplers"][0]["conv"]["conv"], inputs: outputs, outputs: outputs, kernel: 3)
  }

  func callAsFunction(_ x: consuming Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    var h = consume x
    for block in residualBlocks { h = try block(consume h, in: context) }
    return try upsampler?(h, upsampling: upsampling, in: context) ?? h
  }
}

/// The decoding half of the causal 3-D autoencoder.
///
/// Reference: `hyvideo/vae/vae.py`, `DecoderCausal3D`. Normalization statistics run over all frames of what is
/// decoded at once, so a clip decoded in tiles differs slightly from one decoded whole.
public struct VideoDecoder: Sendable {
  public let configuration: AutoencoderConfiguration
  private let latentProjection: CausalConvolution
  private let convIn: CausalConvolution
  private let midBlock: MidBlock
  private let upBlocks: [UpBlock]
  private let normOut: GroupNorm
  private let convOut: CausalConvolution

  /// Reads the decoder from an autoencoder's checkpoint; the encoder's tensors are left alone.
  public init(_ scope: WeightScope, configuration: AutoencoderConfiguration) throws(CheckpointError) {
    self.configuration = configuration
    let latentChannels = configuration.latentChannels
    let channels = Array(configuration.blockChannels.reversed())
    let decoder = scope["decoder"]
    latentProjection = try CausalConvolution(
      scope["post_quant_conv"], inputs: latentChannels, outputs: latentChannels, kernel: 1)
    convIn = try CausalConvolution(
      decoder["conv_in"]["conv"], inputs: latentChannels, outputs: channels[0], kernel: 3)
    midBlock = try MidBlock(decoder["mid_block"], channels: channels[0], configuration)
    var blocks: [UpBlock] = []
    for index in channels.indices {
      blocks.append(
        try UpBlock(
          decoder["up_blocks"][index], inputs: channels[max(index - 1, 0)], outputs: channels[index],
          upsampling: configuration.upsampling(afterBlock: index), configuration))
    }
    upBlocks = blocks
    let last = channels[channels.count - 1]
    normOut = try GroupNorm(
      decoder["conv_norm_out"], channels: last, groups: configuration.normGroups, epsilon: 1e-6)
    convOut = try CausalConvolution(
      decoder["conv_out"]["conv"], inputs: last, outputs: configuration.outputChannels, kernel: 3)
    scope.ignore(prefix: "encoder.")
    scope.ignore(prefix: "quant_conv.")
  }

  /// Decodes latents as a whole.
  /// - Parameter latents: `[B, C, F, H, W]`, already divided by the scaling factor.
  /// - Returns: pixels around -1…1, `[B, 3, 4(F-1)+1, 8H, 8W]`.
  public func callAsFunction(_ latents: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    var h = try convIn(latentProjection(latents, in: context), in: context)
    try context.endBlock(BlockName("vae", "post_quant_conv, decoder.conv_in"), ["features": h])
    h = try midBlock(h, in: context)
    try context.endBlock(BlockName("vae", "decoder.mid_block"), ["features": h])
    for (index, block) in upBlocks.enumerated() {
      h = try block(consume h, in: context)
      try context.endBlock(BlockName("vae", "decoder.up_blocks", index), ["features": h])
    }
    let pixels = try convOut(h, after: normOut, .silu, in: context)
    try context.endBlock(BlockName("vae", "decoder.conv_norm_out, decoder.conv_out"), ["pixels": pixels])
    return pixels
  }
}
