public import Checkpoints
public import TensorCore
public import TensorOps

/// Layer normalization over channels with learned weight and bias.
public struct LayerNorm: Sendable {
  private let weight: Weight
  private let bias: Weight
  private let epsilon: Float

  public init(_ scope: WeightScope, channels: Int, epsilon: Float) throws(CheckpointError) {
    weight = try scope.weight("weight", shape: [channels])
    bias = try scope.weight("bias", shape: [channels])
    self.epsilon = epsilon
  }

  /// `x` `[B, L, C]`.
  public func callAsFunction(_ x: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    try context.backend.layerNorm(x, weight: weight, bias: bias, scale: nil, shift: nil, epsilon: epsilon)
  }
}

/// Root-mean-square normalization over channels.
public struct RMSNorm: Sendable {
  public let weight: Weight
  public let epsilon: Float

  public init(_ scope: WeightScope, channels: Int, epsilon: Float) throws(CheckpointError) {
    weight = try scope.weight("weight", shape: [channels])
    self.epsilon = epsilon
  }

  /// `x` `[B, L, C]`.
  public func callAsFunction(_ x: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    try context.backend.rmsNorm(x, weight: weight, epsilon: epsilon)
  }
}

/// Group normalization over a whole clip, with an activation after it.
public struct GroupNorm: Sendable {
  private let weight: Weight
  private let bias: Weight
  private let groups: Int
  private let epsilon: Float

  public init(_ scope: WeightScope, channels: Int, groups: Int, epsilon: Float) throws(CheckpointError) {
    weight = try scope.weight("weight", shape: [channels])
    bias = try scope.weight("bias", shape: [channels])
    self.groups = groups
    self.epsilon = epsilon
  }

  /// `x` `[B, C, F, H, W]`.
  public func callAsFunction(
    _ x: Tensor, activation: Activation = .none, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try context.backend.groupNorm(x, parameters(activation))
  }

  /// What a convolution needs to do this itself.
  func parameters(_ activation: Activation) -> GroupNormalization {
    GroupNormalization(groups: groups, weight: weight, bias: bias, epsilon: epsilon, activation: activation)
  }
}
