public import TensorCore
public import TensorOps

/// The operations on an Ascend NPU, by CANN's operator library. Activations are 16-bit; results are ready when `download`
/// returns. Each family of operations has a file, which names the calls and their limits.
public final class AscendBackend: Backend {
  /// Where the operations run.
  public let device: AscendDevice
  /// `bfloat16` or `float16`.
  public let activationType: DType
  /// Whether parameters stay with the host and are brought as they are used.
  let streamsWeights: Bool
  let rotaryTables: DeviceRotaryTables

  /// - Parameters:
  ///   - device: An open device; several backends may share it.
  ///   - activationType: `bfloat16` for the transformer; text encoders and autoencoder may want `float16`.
  ///   - streamsWeights: Whether large parameters stay with the host: `Weight.prefetch` then brings them ahead of their use,
  ///     `Weight.release` lets them go, and an operation brings what is missing.
  public init(device: AscendDevice, activationType: DType = .bfloat16, streamsWeights: Bool = false) {
    precondition(
      activationType == .bfloat16 || activationType == .float16, "Ascend: activations cannot be \(activationType)")
    self.device = device
    self.activationType = activationType
    self.streamsWeights = streamsWeights
    rotaryTables = DeviceRotaryTables()
  }

  public var name: String { "ascend:\(device.index)" }

  public func synchronize() throws(BackendError) {
    try device.perform { () throws(BackendError) in try device.synchronize("a clock") }
  }

  public func trim() { device.trim() }

  // MARK: Helpers of the families, on the device's thread

  /// The result of an operator that writes a new dense tensor.
  func result<Prepare>(
    _ shape: Shape, _ dtype: DType? = nil, of name: String, _ type: Prepare.Type,
    _ prepare: (OperatorCall, Prepare, OpaquePointer?) -> Int32
  ) throws(BackendError) -> Tensor {
    let output = try device.tensor(shape, dtype ?? activationType, for: name)
    // Nothing to compute; CANN refuses some empty operands.
    if shape.count == 0 { return output }
    try device.call(name, type) { call, function in prepare(call, function, call.tensor(output)) }
    return output
  }
}
