public import TensorCore
public import TensorOps

// Parameters go to the device in the activation type: the NPU mixes no types within a product, and an Atlas A2 has no
// 8-bit floats. What it cannot hold is multiplied out on the host, tensor by tensor (`HostWeights`).

extension AscendBackend {
  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    try device.perform { () throws(BackendError) in
      if weight.tensor.hostAddressIsMissing { return weight }
      if streamsWeights, weight.shape.count * activationType.byteCount >= Self.smallestStreamed {
        let storage = StreamedStorage(weight, as: activationType, on: device)
        return Weight(
          name: weight.name, tensor: Tensor(shape: weight.shape, dtype: activationType, storage: storage))
      }
      let isReadable = weight.encoding.isPlain && HostElements.readableType(weight.dtype) == weight.dtype
      let stored =
        try isReadable
        ? uploadReadable(weight.tensor)
        : uploaded(weight.shape, .float32) { HostWeights.dense(weight, as: .float32) }
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

extension Weight.Encoding {
  fileprivate var isPlain: Bool {
    if case .plain = self { return true }
    return false
  }
}
