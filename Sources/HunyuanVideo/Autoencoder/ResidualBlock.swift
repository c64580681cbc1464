import Checkpoints
import Layers
import TensorCore
import TensorOps

/// Two normalized causal convolutions around a shortcut.
///
/// Reference: `hyvideo/vae/unet_causal_3d_blocks.py`, `ResnetBlockCausal3D`.
struct ResidualBlock: Sendable {
  private let norm1: GroupNorm
  private let conv1: CausalConvolution
  private let norm2: GroupNorm
  private let conv2: CausalConvolution
  private let shortcut: CausalConvolution?

  init(_ scope: WeightScope, inputs: Int, outputs: Int, groups: Int) throws(CheckpointError) {
    norm1 = try GroupNorm(scope["norm1"], channels: inputs, groups: groups, epsilon: 1e-6)
    conv1 = try CausalConvolution(scope["conv1"]["conv"], inputs: inputs, outputs: outputs, kernel: 3)
    norm2 = try GroupNorm(scope["norm2"], channels: outputs, groups: groups, epsilon: 1e-6)
    conv2 = try CausalConvolution(scope["conv2"]["conv"], inputs: outputs, outputs: outputs, kernel: 3)
    shortcut =
      inputs == outputs
      ? nil : try CausalConvolution(scope["conv_shortcut"]["conv"], inputs: inputs, outputs: outputs, kernel: 1)
  }

  /// `x` `[B, C, F, H, W]`. It is given up as soon as it has been used: at the widest layer it is half of the memory.
  func callAsFunction(_ x: consuming Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    try context.checkStop()
    let h = try conv1(x, after: norm1, .silu, in: context)
    let direct: Tensor
    if let shortcut { direct = try shortcut(x, in: context) } else { direct = x }
    _ = consume x
    return try conv2(h, after: norm2, .silu, residual: direct, in: context)
  }
}
