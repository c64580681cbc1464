public import TensorCore
public import TensorOps

extension Tensor {
  /// Whether the elements fill a block of memory without gaps, in whatever order of axes.
  var isDense: Bool {
    var expected = 1
    for axis in (0..<shape.rank).filter({ shape[$0] != 1 }).sorted(by: { strides[$0] < strides[$1] }) {
      if strides[axis] != expected { return false }
      expected *= shape[axis]
    }
    return true
  }

  /// Whether another tensor of this shape has its elements at the same distances.
  func hasLayout(of other: Tensor) -> Bool {
    (0..<shape.rank).allSatisfy { shape[$0] <= 1 || strides[$0] == other.strides[$0] }
  }
}

extension CPUBackend {
  /// A row-major copy.
  func copied(_ x: Tensor) -> Tensor {
    let result = workspace.tensor(x.shape, x.dtype)
    workspace.copy(from: x, to: result)
    return result
  }

  /// A tensor with the elements of `x` in the layout of a dense tensor of the same shape; `x` itself where it has it.
  func arranged(_ x: Tensor, like other: Tensor) -> Tensor {
    if x.hasLayout(of: other) { return x }
    let result = workspace.tensor(like: other)
    workspace.copy(from: x, to: result)
    return result
  }

  /// The elements in row-major order: the tensor itself where they already are.
  public func contiguous(_ x: Tensor) throws(BackendError) -> Tensor { x.isContiguous ? x : copied(x) }

  /// Joins tensors along an axis.
  public func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    guard let first = tensors.first, (0..<first.shape.rank).contains(axis) else {
      preconditionFailure("concatenate: \(tensors) have no axis \(axis)")
    }
    var dimensions = first.shape.dimensions
    dimensions[axis] = 0
    for tensor in tensors {
      var expected = first.shape.dimensions
      if tensor.shape.rank > axis { expected[axis] = tensor.shape[axis] }
      precondition(
        tensor.shape.dimensions == expected && tensor.dtype == first.dtype,
        "concatenate: \(first) and \(tensor) differ beside axis \(axis)")
      dimensions[axis] += tensor.shape[axis]
    }
    let result = workspace.tensor(Shape(dimensions), first.dtype)
    var start = 0
    for tensor in tensors {
      let part = result.slice(axis, start..<start + tensor.shape[axis])
      workspace.copy(from: tensor, to: part)
      start += tensor.shape[axis]
    }
    return result
  }
}
