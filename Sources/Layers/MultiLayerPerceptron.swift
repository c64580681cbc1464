public import Checkpoints
public import TensorCore
public import TensorOps

/// Two linear layers with an activation between them.
public struct MultiLayerPerceptron: Sendable {
  private let first: Linear
  private let second: Linear
  private let activation: Activation

  /// - Parameter names: the two layers' names inside the scope: `fc1` and `fc2`, `mlp.0` and `mlp.2`, …
  public init(
    _ scope: WeightScope, names: (String, String) = ("fc1", "fc2"), inputs: Int, hidden: Int, outputs: Int,
    activation: Activation
  ) throws(CheckpointError) {
    first = try Linear(scope[names.0], inputs: inputs, outputs: hidden)
    second = try Linear(scope[names.1], inputs: hidden, outputs: outputs)
    self.activation = activation
  }

  /// - Parameter stream: what the result is added to, where there is one.
  public func callAsFunction(
    _ x: Tensor, addedTo stream: ResidualStream? = nil, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try second(first(x, activation: activation, in: context), addedTo: stream, in: context)
  }
}
