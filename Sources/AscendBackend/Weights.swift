public import TensorCore
public import TensorOps

// Parameters go to the device in the activation type: the NPU mixes no types within a product, and an Atlas A2 has no
// 8-bit floats. What it cannot hold is multiplied out on the host, tensor by tensor.

extension AscendBackend {
  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    try device.perform { () throws(BackendError) in
      if weight.tensor.deviceStorage != nil { return weight }
      let stored =
        try weight.encoding.isPlain
        ? uploadReadable(weight.tensor) : uploaded(weight.shape, .float32) { weight.dequantized() }
      return Weight(name: weight.name, tensor: try converted(stored, to: activationType))
    }
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
