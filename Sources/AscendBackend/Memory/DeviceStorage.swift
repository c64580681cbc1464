import TensorCore

/// Device memory that goes back to its pool when the last tensor using it is gone.
final class DeviceStorage: Storage, @unchecked Sendable {
  // Sendable: nothing changes after the initializer; the memory itself is reached through the device's thread alone.
  let device: AscendDevice
  let byteCount: Int
  private let block: MemoryPool.Block

  init(device: AscendDevice, byteCount: Int, block: MemoryPool.Block) {
    self.device = device
    self.byteCount = byteCount
    self.block = block
  }

  deinit { device.release(block) }

  /// The host cannot read device memory.
  var hostAddress: UnsafeMutableRawPointer? { nil }

  var deviceAddress: UnsafeMutableRawPointer { block.address }
}

extension Tensor {
  /// The storage where it is device memory.
  var deviceStorage: DeviceStorage? { storage as? DeviceStorage }
}
