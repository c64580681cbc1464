import CAscend
public import TensorCore
public import TensorOps

// Copies.

extension AscendBackend {
  public func contiguous(_ x: Tensor) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in try dense(x) }
  }

  public func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in try joined(tensors, axis: axis) }
  }

  /// `aclnnInplaceCopy` into a new tensor, for operands of up to 8 axes; identity where nothing has to change.
  func dense(_ x: Tensor) throws(BackendError) -> Tensor {
    if x.isContiguous { return x }
    return try result(x.shape, x.dtype, of: "aclnnInplaceCopy", aclnnInplaceCopyFunction.self) { call, copy, out in
      copy(out, call.tensor(x), call.workspaceSize, call.executor)
    }
  }

  /// `aclnnCat`, whose lists have at most 32 members.
  func joined(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    let parts = tensors.filter { $0.count > 0 }
    guard let first = parts.first else { return tensors[0] }
    if parts.count == 1 { return try dense(first) }
    if parts.count > 32 {
      let front = try joined(Array(parts[..<32]), axis: axis)
      return try joined([front] + parts[32...], axis: axis)
    }
    var dimensions = first.shape.dimensions
    dimensions[axis] = parts.reduce(0) { $0 + $1.shape[axis] }
    return try result(Shape(dimensions), first.dtype, of: "aclnnCat", aclnnCatFunction.self) { call, cat, out in
      cat(call.list(parts), Int64(axis), out, call.workspaceSize, call.executor)
    }
  }
}
