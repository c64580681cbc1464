import CAscend
public import TensorCore
public import TensorOps

// Products of matrices of one 16-bit type, accumulated in float32. Weights enter as transposed views, which the product
// takes as they are.

extension AscendBackend {
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in
      try bring(weight, bias)
      let x = try inputs.count == 1 ? inputs[0] : joined(inputs, axis: inputs[0].shape.rank - 1)
      precondition(
        weight.shape.rank == 2 && weight.shape.last == x.shape.last, "linear: \(x) and weight \(weight.tensor)")
      let matrix: Shape = [x.shape.rows, x.shape.last]
      let rows = if let view = x.reshapedView(matrix) { view } else { try dense(x).reshaped(matrix) }
      let outputs = Shape(x.shape.dimensions.dropLast() + [weight.shape[0]])
      let product = try product(rows, weight.tensor.permuted([1, 0]), plus: bias?.tensor).reshaped(outputs)
      return activation == .none ? product : try activated(product, activation)
    }
  }

  /// `x · y + bias` for matrices: `aclnnAddmm` (bias one-dimensional) or `aclnnMm`; cubeMathType 0 keeps the type.
  func product(_ x: Tensor, _ y: Tensor, plus bias: Tensor?) throws(BackendError) -> Tensor {
    let shape: Shape = [x.shape[0], y.shape[1]]
    guard let bias else {
      return try result(shape, of: "aclnnMm", aclnnMmFunction.self) { call, mm, out in
        mm(call.tensor(x), call.tensor(y), out, 0, call.workspaceSize, call.executor)
      }
    }
    return try result(shape, of: "aclnnAddmm", aclnnAddmmFunction.self) { call, addmm, out in
      addmm(
        call.tensor(bias), call.tensor(x), call.tensor(y), call.scalar(1), call.scalar(1), out, 0, call.workspaceSize,
        call.executor)
    }
  }

  /// `aclnnEmbedding` does not check the upper end of indices; the caller has.
  public func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    precondition(ids.dtype == .int32 && ids.isContiguous, "embedding: ids are \(ids)")
    return try device.perform { () throws(BackendError) in
      try bring(table)
      let indices = try uploadAsIs(ids)
      let shape = Shape(ids.shape.dimensions + [table.shape.last])
      return try result(shape, of: "aclnnEmbedding", aclnnEmbeddingFunction.self) { call, embedding, out in
        embedding(call.tensor(table.tensor), call.tensor(indices), out, call.workspaceSize, call.executor)
      }
    }
  }
}
