public import Checkpoints
public import TensorCore
public import TensorOps

/// A 3-D convolution that sees no later frame, with replicated borders.
///
/// Reference: `hyvideo/vae/unet_causal_3d_blocks.py`, `CausalConv3d`.
public struct CausalConvolution: Sendable {
  private let weight: Weight
  private let bias: Weight

  public init(_ scope: WeightScope, inputs: Int, outputs: Int, kernel: Int) throws(CheckpointError) {
    weight = try scope.weight("weight", shape: [outputs, inputs, kernel, kernel, kernel])
    bias = try scope.weight("bias", shape: [outputs])
  }

  /// `x` `[B, C, F, H, W]`, enlarged first where `upsampling` says so; `residual` is added to the result.
  public func callAsFunction(
    _ x: Tensor, upsampling: Upsampling = .none, residual: Tensor? = nil, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try context.backend.causalConvolution(x, weight: weight, bias: bias, upsampling: upsampling, residual: residual)
  }

  /// The convolution of `activation(norm(x))`.
  public func callAsFunction(
    _ x: Tensor, after norm: GroupNorm, _ activation: Activation, residual: Tensor? = nil, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try context.backend.causalConvolution(
      x, after: norm.parameters(activation), weight: weight, bias: bias, residual: residual)
  }
}
