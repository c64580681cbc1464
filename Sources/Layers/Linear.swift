public import Checkpoints
public import TensorCore
public import TensorOps

/// `x · weightᵀ + bias`, weight stored `[outputs, inputs]`: in one piece, or in parts of its rows where a release stores
/// apart what the network has as one projection. Parts are computed one by one; weights are never copied to join them.
public struct Linear: Sendable {
  private struct Part: Sendable {
    let weight: Weight
    let bias: Weight?
  }

  private let parts: [Part]

  /// Reads `weight` and, unless told otherwise, `bias` from the scope.
  public init(_ scope: WeightScope, inputs: Int, outputs: Int, bias: Bool = true) throws(CheckpointError) {
    let weights = try scope.rowParts("weight", shape: [outputs, inputs])
    let biases = bias ? try scope.rowParts("bias", shape: [outputs]) : []
    if biases.isEmpty {
      parts = weights.map { Part(weight: $0, bias: nil) }
    } else if weights.map({ $0.shape[0] }) == biases.map({ $0.shape[0] }) {
      parts = zip(weights, biases).map { Part(weight: $0, bias: $1) }
    } else {
      throw .wrongShape(
        file: biases[0].name, key: "\(scope.path).bias", expected: Shape(weights.map { $0.shape[0] }),
        found: Shape(biases.map { $0.shape[0] }))
    }
  }

  public init(weight: Weight, bias: Weight?) { parts = [Part(weight: weight, bias: bias)] }

  private init(parts: [Part]) { self.parts = parts }

  /// The layer that computes the outputs `range` only: a fused projection taken apart.
  public func outputs(_ range: Range<Int>) -> Linear {
    var chosen: [Part] = []
    var start = 0
    for part in parts {
      let rows = part.weight.shape[0]
      let overlap = range.clamped(to: start..<start + rows)
      if !overlap.isEmpty {
        let own = overlap.lowerBound - start..<overlap.upperBound - start
        chosen.append(
          own.count == rows ? part : Part(weight: part.weight.rows(own), bias: part.bias?.rows(own)))
      }
      start += rows
    }
    return Linear(parts: chosen)
  }

  /// Tells who reads weights ahead that this layer is not used again.
  func didServe(in context: ForwardContext) {
    if let streaming = context.weightStreaming { for part in parts { streaming.didServe(part.weight) } }
  }

  public func callAsFunction(
    _ x: Tensor, activation: Activation = .none, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try self([x], activation: activation, in: context)
  }

  /// Applies the layer to rows whose parts are in several tensors, joined along the last axis.
  public func callAsFunction(
    _ inputs: [Tensor], activation: Activation = .none, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try joined(in: context) { (part, _) throws(BackendError) in
      try context.backend.linear(inputs, weight: part.weight, bias: part.bias, activation: activation)
    }
  }

  public func callAsFunction(
    _ x: Tensor, addedTo stream: ResidualStream?, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try self([x], addedTo: stream, in: context)
  }

  /// The layer's result added to a stream, where there is one.
  public func callAsFunction(
    _ inputs: [Tensor], addedTo stream: ResidualStream?, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    guard let stream else { return try self(inputs, in: context) }
    return try joined(in: context) { (part, outputs) throws(BackendError) in
      try context.backend.linear(
        inputs, weight: part.weight, bias: part.bias, addedTo: stream.channels(outputs))
    }
  }

  /// What comes of the parts, side by side.
  private func joined(
    in context: ForwardContext, _ apply: (Part, _ outputs: Range<Int>) throws(BackendError) -> Tensor
  ) throws(BackendError) -> Tensor {
    var results: [Tensor] = []
    var start = 0
    for part in parts {
      context.weightStreaming?.willUse(part.weight)
      let outputs = start..<start + part.weight.shape[0]
      results.append(try apply(part, outputs))
      start = outputs.upperBound
    }
    if results.count == 1 { return results[0] }
    return try context.backend.concatenate(results, axis: results[0].shape.rank - 1)
  }
}
