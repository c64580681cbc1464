public import TensorCore
public import TensorOps

extension CPUPlanningBackend {
  public func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    mapped(x, x, .activate, reads: x.byteCount)
  }

  public func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor { mapped(gate, x, .gatedSiLU) }

  public func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    mapped(x, y, .combination)
  }

  public func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    guard let gate else { return mapped(x, y, .residual) }
    let inputs = (rows(x), rows(y), rows(gate))
    let result = tensor(x.shape)
    note(
      .gatedResidual, [x.shape[0] * x.shape[1], x.shape[2]], reads: x.byteCount + y.byteCount, writes: result.byteCount)
    return withExtendedLifetime(inputs) { result }
  }

  private func mapped(_ x: Tensor, _ y: Tensor, _ kind: PlannedOperation.Kind, reads: Int? = nil) -> Tensor {
    note(kind, [x.count], reads: reads ?? x.byteCount + y.byteCount, writes: x.byteCount)
    if x.isDense || !x.hasDenseRows {
      let x = x.isDense ? x : copied(x)
      let y = arranged(y, like: x)
      let result = tensor(like: x)
      return withExtendedLifetime((x, y)) { result }
    }
    let inputs = (rows(x), rows(y))
    let result = tensor(x.shape)
    return withExtendedLifetime(inputs) { result }
  }

  public func contiguous(_ x: Tensor) throws(BackendError) -> Tensor { x.isContiguous ? x : copied(x) }

  public func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    var dimensions = tensors[0].shape.dimensions
    dimensions[axis] = tensors.reduce(0) { $0 + $1.shape[axis] }
    let result = tensor(Shape(dimensions), tensors[0].dtype)
    var start = 0
    for part in tensors {
      noteCopy(from: part, to: result.slice(axis, start..<start + part.shape[axis]))
      start += part.shape[axis]
    }
    return result
  }

  public func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor {
    let input = rows(x)
    let result = tensor([x.shape[0], x.shape[2]])
    note(.meanOverTokens, [input.count, input.width], reads: x.byteCount, writes: result.byteCount)
    return withExtendedLifetime(input) { result }
  }

  /// One, or for differences what the journal assumes.
  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    noteReduction(x, y, .absoluteSum)
    return y == nil ? 1 : journal.assumedChange
  }

  public func isFinite(_ x: Tensor) throws(BackendError) -> Bool {
    noteReduction(x, nil, .isFinite)
    return true
  }

  private func noteReduction(_ x: Tensor, _ y: Tensor?, _ kind: PlannedOperation.Kind) {
    let first = x.isDense ? x : copied(x)
    let second = y.map { arranged($0, like: first) }
    note(kind, [x.count], reads: x.byteCount + (y?.byteCount ?? 0), writes: 0)
    withExtendedLifetime((first, second)) {}
  }
}
