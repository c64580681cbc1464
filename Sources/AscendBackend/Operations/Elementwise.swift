import CAscend
public import TensorCore
public import TensorOps

// Operations on single elements. All take strided operands, broadcast them and want the exact shape of the result; types
// are bfloat16, float16 and float32.

extension AscendBackend {
  public func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in try activated(x, activation) }
  }

  /// `aclnnSilu`, `aclnnGeluV2` (1 is the tanh formula), `aclnnFastGelu` (`x · sigmoid(1.702 x)`).
  func activated(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    switch activation {
    case .none: try dense(x)
    case .silu:
      try result(x.shape, of: "aclnnSilu", aclnnSiluFunction.self) { call, silu, out in
        silu(call.tensor(x), out, call.workspaceSize, call.executor)
      }
    case .geluTanh:
      try result(x.shape, of: "aclnnGeluV2", aclnnGeluV2Function.self) { call, gelu, out in
        gelu(call.tensor(x), 1, out, call.workspaceSize, call.executor)
      }
    case .quickGELU:
      try result(x.shape, of: "aclnnFastGelu", aclnnFastGeluFunction.self) { call, gelu, out in
        gelu(call.tensor(x), out, call.workspaceSize, call.executor)
      }
    }
  }

  public func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor {
    precondition(gate.shape == x.shape, "gated SiLU: \(gate) and \(x)")
    return try device.perform { () throws(BackendError) in try product(try activated(gate, .silu), x) }
  }

  public func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    precondition(x.shape == y.shape, "residual: \(x) and \(y)")
    return try device.perform { () throws(BackendError) in
      guard let gate else { return try sum(x, y) }
      let perToken = gate.insertingAxis(1)
      return try result(x.shape, of: "aclnnAddcmul", aclnnAddcmulFunction.self) { call, addcmul, out in
        addcmul(
          call.tensor(x), call.tensor(perToken), call.tensor(y), call.scalar(1), out, call.workspaceSize, call.executor)
      }
    }
  }

  public func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    precondition(x.shape == y.shape, "combination: \(x) and \(y)")
    return try device.perform { () throws(BackendError) in
      let scaled = try result(x.shape, of: "aclnnMuls", aclnnMulsFunction.self) { call, muls, out in
        muls(call.tensor(x), call.scalar(a), out, call.workspaceSize, call.executor)
      }
      return try sum(scaled, y, times: b)
    }
  }

  // MARK: On the device's thread

  /// `x + factor · y`: `aclnnAdd`.
  func sum(_ x: Tensor, _ y: Tensor, times factor: Float = 1, in dtype: DType? = nil) throws(BackendError) -> Tensor {
    try result(x.shape, dtype, of: "aclnnAdd", aclnnAddFunction.self) { call, add, out in
      add(call.tensor(x), call.tensor(y), call.scalar(factor), out, call.workspaceSize, call.executor)
    }
  }

  /// `x - y`: `aclnnSub`.
  func difference(_ x: Tensor, _ y: Tensor, in dtype: DType? = nil) throws(BackendError) -> Tensor {
    try result(x.shape, dtype, of: "aclnnSub", aclnnSubFunction.self) { call, sub, out in
      sub(call.tensor(x), call.tensor(y), call.scalar(1), out, call.workspaceSize, call.executor)
    }
  }

  /// `x · y`, `y` broadcast to `x`: `aclnnMul`.
  func product(_ x: Tensor, _ y: Tensor, in dtype: DType? = nil) throws(BackendError) -> Tensor {
    try result(x.shape, dtype, of: "aclnnMul", aclnnMulFunction.self) { call, mul, out in
      mul(call.tensor(x), call.tensor(y), out, call.workspaceSize, call.executor)
    }
  }
}

extension Tensor {
  /// The same elements with an axis of extent one before `axis`.
  func insertingAxis(_ axis: Int) -> Tensor {
    var dimensions = shape.dimensions
    var strides = strides
    dimensions.insert(1, at: axis)
    strides.insert(axis < strides.count ? strides[axis] * shape[axis] : 1, at: axis)
    return Tensor(shape: Shape(dimensions), dtype: dtype, strides: strides, offset: offset, storage: storage)
  }
}
