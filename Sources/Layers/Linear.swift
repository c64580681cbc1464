public import Checkpoints
public import TensorCore
public import TensorOps

/// `x · weightᵀ + bias`, weight stored `[outputs, inputs]`.
public struct Linear: Sendable {
  public let weight: Weight
  public let bias: Weight?

  /// Reads `weight` and, unless told otherwise, `bias` from the scope.
  public init(_ scope: WeightScope, inputs: Int, outputs: Int, bias: Bool = true) throws(CheckpointError) {
    weight = try scope.weight("weight", shape: [outputs, inputs])
    self.bias = bias ? try scope.weight("bias", shape: [outputs]) : nil
  }

  public init(weight: Weight, bias: Weight?) {
    self.weight = weight
    self.bias = bias
  }

  /// The layer that computes the outputs `range` only: a fused projection taken apart.
  public func outputs(_ range: Range<Int>) -> Linear {
    Linear(weight: weight.rows(range), bias: bias?.rows(range))
  }

  public func callAsFunction(
    _ x: Tensor, activation: Activation = .none, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try self([x], activation: activation, in: context)
  }

  /// Applies the layer to rows whose parts are in several tensors, joined along the last axis.
  public func callAsFunction(
    _ parts: [Tensor], activation: Activation = .none, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    context.weightStreaming?.willUse(weight)
    return try context.backend.linear(parts, weight: weight, bias: bias, activation: activation)
  }
}
