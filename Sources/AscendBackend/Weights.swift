public import TensorCore
public import TensorOps

// Parameters go to the device in the activation type: the NPU mixes no types within a product, and an Atlas A2 has no
// 8-bit floats. What it cannot hold is multiplied out on the host, tensor by tensor.

extension AscendBackend {
  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    try device.perform { () throws(BackendError) in
      if weight.tensor.hostAddressIsMissing { return weight }
      if streamsWeights, weight.shape.count * activationType.byteCount >= Self.smallestStreamed {
        let storage = StreamedStorage(weight, as: activationType, on: device)
        return Weight(
          name: weight.name, tensor: Tensor(shape: weight.shape, dtype: activationType, storage: storage))
      }
      let stored =
        try weight.encoding.isPlain
        ? uploadReadable(weight.tensor) : uploaded(weight.shape, .float32) { weight.dequantized() }
      // The host needs its pages no more.
      weight.release()
      return Weight(name: weight.name, tensor: try converted(stored, to: activationType))
    }
  }

  /// Brings parameters that stay with the host, before anything is asked for that would be in vain without them.
  func bring(_ weights: Weight?...) throws(BackendError) {
    for weight in weights {
      if let streamed = weight?.tensor.storage as? StreamedStorage { _ = try streamed.deviceAddress() }
    }
  }

  /// Smaller parameters stay on the device: they are not worth a copy each time.
  private static let smallestStreamed = 1 << 16
}

extension Tensor {
  /// Whether the elements are the device's already.
  fileprivate var hostAddressIsMissing: Bool { deviceStorage != nil || storage is StreamedStorage }
}

extension HostElements {
  /// What the stored elements stand for, dense, in a 16-bit type: for copies that no conversion on the device follows.
  static func converted(_ weight: Weight, to dtype: DType) -> Tensor {
    let source = weight.encoding.isPlain ? deviceReadable(weight.tensor) : weight.dequantized()
    if source.dtype == dtype { return source }
    let result = Tensor(uninitialized: source.shape, dtype)
    let values = source.floats()
    let target = result.mutableHostPointer
    if dtype == .bfloat16 {
      let elements = target.assumingMemoryBound(to: BFloat16.self)
      for index in values.indices { elements[index] = BFloat16(values[index]) }
    } else {
      let elements = target.assumingMemoryBound(to: UInt16.self)
      for index in values.indices { elements[index] = Float16(values[index]).bitPattern }
    }
    return result
  }
}

extension Weight.Encoding {
  fileprivate var isPlain: Bool {
    if case .plain = self { return true }
    return false
  }
}

extension Weight {
  /// The numbers that the stored elements stand for, dense float32 in host memory.
  fileprivate func dequantized() -> Tensor {
    switch encoding {
    case .plain: return HostElements.float32(tensor)
    case .scaled(let factors, let rounds):
      let target = Tensor(tensor.floats(), shape: tensor.shape)
      let factors = factors.floats()
      let rowLength = max(target.count / max(factors.count, 1), 1)
      let elements = UnsafeMutableBufferPointer(
        start: target.mutableHostPointer.assumingMemoryBound(to: Float.self), count: target.count)
      for index in elements.indices {
        let product = elements[index] * factors[index / rowLength]
        elements[index] = rounds ? Float(BFloat16(product)) : product
      }
      return target
    case .blocks(let format):
      let bytes = UnsafeRawBufferPointer(start: tensor.hostPointer, count: tensor.byteCount)
      let values = stride(from: 0, to: bytes.count, by: format.byteCount).flatMap {
        format.values(ofBlock: UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + format.byteCount]))
      }
      return Tensor(values, shape: shape)
    }
  }
}
