import TensorCore
public import TensorOps

/// What a device gives at most.
public struct AscendPeak: Sendable {
  /// Multiplications and additions per second in the activation type, each counted.
  public let operationsPerSecond: Double
  /// Bytes of device memory read and written per second.
  public let bytesPerSecond: Double
}

extension AscendBackend {
  /// Measures the device: products of square matrices, the larger the better, and copies of device memory, each until one
  /// takes a twentieth of a second.
  public func measurePeak() throws(BackendError) -> AscendPeak {
    var operations = 0.0
    for size in [512, 1024, 2048, 4096, 8192] {
      let x = try upload(Tensor(repeating: 0.5, shape: [size, size]))
      let weight = Weight(name: "peak", tensor: x)
      let seconds = try best { () throws(BackendError) in
        _ = try linear([x], weight: weight, bias: nil, activation: .none)
      }
      operations = max(operations, 2 * Double(size) * Double(size) * Double(size) / seconds)
      if seconds > 0.05 { break }
    }
    var bytes = 0.0
    for rows in [1 << 10, 1 << 13, 1 << 16] {
      // Every second row, so that it is a copy and no identity.
      let x = try upload(Tensor(repeating: 0.5, shape: [rows, 2, 1024])).select(1, 0)
      let seconds = try best { () throws(BackendError) in _ = try contiguous(x) }
      bytes = max(bytes, 2 * Double(x.count * activationType.byteCount) / seconds)
      if seconds > 0.05 { break }
    }
    return AscendPeak(operationsPerSecond: operations, bytesPerSecond: bytes)
  }

  /// The shortest of a few times.
  private func best(_ body: () throws(BackendError) -> Void) throws(BackendError) -> Double {
    var shortest = Double.infinity
    for _ in 0..<3 {
      let start = ContinuousClock.now
      try body()
      try synchronize()
      shortest = min(shortest, start.duration(to: .now) / .seconds(1))
      if shortest > 0.05 { break }
    }
    return max(shortest, 1e-9)
  }
}
