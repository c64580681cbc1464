import Checkpoints
import Layers
import TensorCore
import TensorOps

/// Attention over all positions of a clip, causal by frame, with a single head as wide as the channels.
///
/// Reference: `hyvideo/vae/unet_causal_3d_blocks.py`, `UNetMidBlockCausal3D`, `prepare_causal_attention_mask`.
struct FrameCausalAttention: Sendable {
  private let norm: GroupNorm
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let out: Linear

  init(_ scope: WeightScope, channels: Int, groups: Int) throws(CheckpointError) {
    norm = try GroupNorm(scope["group_norm"], channels: channels, groups: groups, epsilon: 1e-6)
    query = try Linear(scope["to_q"], inputs: channels, outputs: channels)
    key = try Linear(scope["to_k"], inputs: channels, outputs: channels)
    value = try Linear(scope["to_v"], inputs: channels, outputs: channels)
    out = try Linear(scope["to_out"]["0"], inputs: channels, outputs: channels)
  }

  /// `x` `[B, C, F, H, W]`.
  func callAsFunction(_ x: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    let (batch, channels, frames, height, width) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3], x.shape[4])
    let clip: Shape = [batch, frames, height, width, channels]
    let tokens: Shape = [batch, frames * height * width, channels]
    let heads: Shape = [batch, tokens[1], 1, channels]

    // Tokens in the order time, row, column.
    let normalized = try context.backend.contiguous(norm(x, in: context).permuted([0, 2, 3, 4, 1])).reshaped(tokens)
    let keyValue = KeyValue(
      key: try key(normalized, in: context).reshaped(heads), value: try value(normalized, in: context).reshaped(heads))
    let attended = try context.backend.attention(
      queries: [query(normalized, in: context).reshaped(heads)], keyValues: [keyValue],
      scale: 1 / Float(channels).squareRoot(), mask: AttentionMask(causalBlock: height * width), logSumExp: false)
    let projected = try out(attended[0].values.joinedHeads, in: context)
    return try context.backend.residual(x, gate: nil, projected.reshaped(clip).permuted([0, 4, 1, 2, 3]))
  }
}

/// Residual block, attention, residual block at the lowest resolution.
struct MidBlock: Sendable {
  private let first: ResidualBlock
  private let attention: FrameCausalAttention?
  private let second: ResidualBlock

  init(_ scope: WeightScope, channels: Int, _ configuration: AutoencoderConfiguration) throws(CheckpointError) {
    let groups = configuration.normGroups
    first = try ResidualBlock(scope["resnets"][0], inputs: channels, outputs: channels, groups: groups)
    second = try ResidualBlock(scope["resnets"][1], inputs: channels, outputs: channels, groups: groups)
    attention =
      configuration.hasMidBlockAttention
      ? try FrameCausalAttention(scope["attentions"][0], channels: channels, groups: groups) : nil
  }

  func callAsFunction(_ x: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    let h = try first(x, in: context)
    return try second(attention?(h, in: context) ?? h, in: context)
  }
}
