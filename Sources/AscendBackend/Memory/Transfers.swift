import CAscend
public import TensorCore
public import TensorOps

// Moving tensors between host and device: `aclrtMemcpyAsync` by way of pinned memory; types change on the device.

extension AscendBackend {
  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    precondition(tensor.dtype.isFloatingPoint, "upload: \(tensor) does not hold floating-point numbers")
    return try device.perform { () throws(BackendError) in
      if tensor.deviceStorage != nil {
        // From one 16-bit type to the other as by way of the host: with the casts that every upload and download has.
        return tensor.dtype == activationType
          ? tensor : try converted(converted(tensor, to: .float32), to: activationType)
      }
      return try converted(try uploadReadable(tensor), to: activationType)
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
    try uploaded(tensor.shape, tensor.dtype) { tensor }
  }

  /// A host tensor on the device, in its own type where the device has that.
  func uploadReadable(_ tensor: Tensor) throws(BackendError) -> Tensor {
    try uploaded(tensor.shape, HostElements.readableType(tensor.dtype)) { HostElements.deviceReadable(tensor) }
  }

  /// A tensor on the device with contents that the host makes, dense and of the same type: a dry run does without them.
  func uploaded(_ shape: Shape, _ dtype: DType, contents: () -> Tensor) throws(BackendError) -> Tensor {
    let operation = "upload of \(dtype)\(shape)"
    let target = try device.tensor(shape, dtype, for: operation)
    if shape.count == 0 { return target }
    if device.isDry {
      try device.copy(nil, to: target, operation: operation)
    } else {
      let source = contents()
      try device.copy(source.hostPointer, to: target, operation: operation)
    }
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
  /// A type that the device converts by itself: 8-bit and 64-bit floats become float32 on the host.
  static func readableType(_ dtype: DType) -> DType {
    switch dtype {
    case .float32, .float16, .bfloat16: dtype
    default: .float32
    }
  }

  /// Dense, in that type.
  static func deviceReadable(_ tensor: Tensor) -> Tensor {
    if readableType(tensor.dtype) != tensor.dtype { return float32(tensor) }
    return tensor.isContiguous ? tensor : copied(tensor)
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
