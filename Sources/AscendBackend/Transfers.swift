import CAscend
public import TensorCore
public import TensorOps

// Moving tensors between host and device: `aclrtMemcpyAsync` by way of pinned memory; types change on the device.

extension AscendBackend {
  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    precondition(tensor.dtype.isFloatingPoint, "upload: \(tensor) does not hold floating-point numbers")
    return try device.perform { () throws(BackendError) in
      if tensor.deviceStorage != nil { return try converted(tensor, to: activationType) }
      return try converted(try uploadAsIs(HostElements.deviceReadable(tensor)), to: activationType)
    }
  }

  public func download(_ tensor: Tensor) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in
      guard tensor.deviceStorage != nil else { return HostElements.float32(tensor) }
      let source = try converted(try dense(tensor), to: .float32)
      let target = Tensor(uninitialized: source.shape, .float32)
      if source.count == 0 { return target }
      try device.copy(source, to: target.mutableHostPointer, operation: "download")
      return target
    }
  }

  /// A dense host tensor on the device in its own type.
  func uploadAsIs(_ tensor: Tensor) throws(BackendError) -> Tensor {
    let target = try device.tensor(tensor.shape, tensor.dtype, for: "upload of \(tensor)")
    if tensor.count == 0 { return target }
    try device.copy(tensor.hostPointer, to: target, operation: "upload of \(tensor)")
    return target
  }

  /// The tensor in another type, dense: `aclnnCast`. Identity where nothing has to change.
  func converted(_ x: Tensor, to dtype: DType) throws(BackendError) -> Tensor {
    if x.dtype == dtype { return x }
    return try result(x.shape, dtype, of: "aclnnCast", aclnnCastFunction.self) { call, cast, out in
      cast(call.tensor(x), dtype.ascendType, out, call.workspaceSize, call.executor)
    }
  }
}

/// Host tensors in a form that the device can take.
enum HostElements {
  /// Dense, in a type that the device converts by itself; 8-bit and 64-bit floats become float32 here.
  static func deviceReadable(_ tensor: Tensor) -> Tensor {
    switch tensor.dtype {
    case .float32, .float16, .bfloat16: tensor.isContiguous ? tensor : copied(tensor)
    default: float32(tensor)
    }
  }

  /// Dense float32.
  static func float32(_ tensor: Tensor) -> Tensor {
    if tensor.dtype == .float32 && tensor.isContiguous { return tensor }
    return Tensor(tensor.floats(), shape: tensor.shape)
  }

  /// A dense copy in the same type, element by element: for the small views that hosts upload.
  private static func copied(_ tensor: Tensor) -> Tensor {
    let size = tensor.dtype.byteCount
    let target = Tensor(uninitialized: tensor.shape, tensor.dtype)
    let strides = target.strides
    for index in 0..<tensor.count {
      let position = (0..<tensor.shape.rank).reduce(0) { sum, axis in
        sum + index / strides[axis] % tensor.shape[axis] * tensor.strides[axis]
      }
      (target.mutableHostPointer + index * size).copyMemory(from: tensor.hostPointer + position * size, byteCount: size)
    }
    return target
  }
}
