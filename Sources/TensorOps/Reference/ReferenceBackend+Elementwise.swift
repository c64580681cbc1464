public import TensorCore

extension ReferenceBackend {
  /// The nonlinearity of every element.
  public func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    Tensor(read(x, "activate").map { Float(activation.value(Double($0))) }, shape: x.shape)
  }

  /// `silu(gate) · x`
  public func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor {
    let (gates, values) = read(gate, x, "gatedSiLU")
    return Tensor(zip(gates, values).map { Float(Activation.silu.value(Double($0)) * Double($1)) }, shape: x.shape)
  }

  /// `x + gate · y`
  public func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    let (first, second) = read(x, y, "residual")
    guard let gate else { return Tensor(zip(first, second).map { $0 + $1 }, shape: x.shape) }
    precondition(
      x.shape.rank == 3 && gate.shape == [x.shape[0], x.shape[2]],
      "residual: \(x) with a gate \(gate), expected [B, L, C] and [B, C]")
    let gates = read(gate, "residual")
    let (tokens, channels) = (x.shape[1], x.shape[2])
    var result = first
    for index in result.indices {
      let factor = gates[index / (tokens * channels) * channels + index % channels]
      result[index] = Float(Double(first[index]) + Double(factor) * Double(second[index]))
    }
    return Tensor(result, shape: x.shape)
  }

  /// `a · x + b · y`
  public func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    let (first, second) = read(x, y, "combination")
    return Tensor(
      zip(first, second).map { Float(Double(a) * Double($0) + Double(b) * Double($1)) }, shape: x.shape)
  }
}
