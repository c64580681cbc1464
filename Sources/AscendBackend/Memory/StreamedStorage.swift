import CAscend
import Synchronization
import TensorCore
import TensorOps

/// A parameter that stays in the host's memory, or in its file, and is on the device while it is used. Read ahead, it is
/// copied beside the device's work; otherwise where an operation needs it. What is let go is overwritten when the device has
/// come past its last use.
final class StreamedStorage: Storage {
  private let copy: StreamedCopy
  let byteCount: Int

  /// - Parameters:
  ///   - weight: in host memory.
  ///   - dtype: as the device has it.
  init(_ weight: Weight, as dtype: DType, on device: AscendDevice) {
    byteCount = weight.shape.count * dtype.byteCount
    copy = StreamedCopy(weight, as: dtype, byteCount: byteCount, on: device)
  }

  deinit { copy.device.thread.post { [copy] in copy.end() } }

  /// The host's elements may be of another type.
  var hostAddress: UnsafeMutableRawPointer? { nil }

  func prefetch(_ bytes: Range<Int>) {
    // Out of memory, it is copied where it is needed; if that fails too, somebody hears of it.
    copy.device.thread.run { try? copy.fetchAhead() }?.wait()
  }

  func release(_ bytes: Range<Int>) { copy.device.thread.post { [copy] in copy.drop() } }

  /// The address on the device; what is put on its stream from now on finds the elements there. On the device's thread.
  func deviceAddress() throws(BackendError) -> UnsafeMutableRawPointer { try copy.address() }
}

/// The state of a streamed parameter. Confined to the device's thread but for the outcome of a copy.
private final class StreamedCopy: @unchecked Sendable {
  // Sendable: see above.
  let device: AscendDevice
  private let weight: Weight
  private let dtype: DType
  private let byteCount: Int

  private enum State {
    case absent
    /// The copies' thread has it; afterwards the block is the parameter's, once the event has come.
    case underWay(MemoryPool.Block, DeviceThread.Posted)
    case present(MemoryPool.Block)
  }

  private var state = State.absent
  private var arrived: aclrtEvent?
  private let failure = Mutex<AscendError?>(nil)

  init(_ weight: Weight, as dtype: DType, byteCount: Int, on device: AscendDevice) {
    (self.weight, self.dtype, self.byteCount, self.device) = (weight, dtype, byteCount, device)
  }

  /// Begins to copy it, unless it is there or on its way.
  /// - Returns: what waits until the copy is on its stream.
  func fetchAhead() throws -> DeviceThread.Posted? {
    guard case .absent = state else { return nil }
    if device.isDry {
      _ = try address()
      return nil
    }
    let copies = try device.openWeightCopies()
    if arrived == nil { arrived = try AscendDevice.makeEvent(device.functions) }
    guard let arrived, let stream = device.stream else { return nil }
    let block = try device.allocate(byteCount: byteCount, for: "the weight \(weight.name)")
    do { try copies.waits(for: stream) } catch {
      device.freeNow(block)
      throw error
    }
    let posted = copies.post({ [self] in elements() }, to: block.address, arrived: arrived) { [self] outcome in
      failure.withLock { $0 = outcome }
      weight.release()
    }
    state = .underWay(block, posted)
    return posted
  }

  func address() throws(BackendError) -> UnsafeMutableRawPointer {
    try settle()
    if case .present(let block) = state { return block.address }
    let block = try device.allocate(byteCount: byteCount, for: "the weight \(weight.name)")
    let host = device.isDry ? nil : elements()
    defer { withExtendedLifetime(host) {} }
    do throws(BackendError) {
      try device.copy(host?.hostPointer, to: block.address, byteCount: byteCount, "the weight \(weight.name)")
    } catch {
      device.freeNow(block)
      throw error
    }
    weight.release()
    state = .present(block)
    return block.address
  }

  /// Lets the device's stream wait for a copy under way. The host waits until it is on its stream; copies behind it may take
  /// their time.
  private func settle() throws(BackendError) {
    guard case .underWay(let block, let posted) = state else { return }
    posted.wait()
    let outcome = failure.withLock { failure in
      defer { failure = nil }
      return failure
    }
    // What was copied in part is in nobody's way once the stream has waited for it.
    state = .absent
    do throws(BackendError) {
      try device.reporting("the weight \(weight.name)") { () throws(AscendError) in
        if let outcome { throw outcome }
        try device.functions.wait(device.stream, for: arrived)
      }
    } catch {
      device.weightCopies?.finish()
      device.freeNow(block)
      throw error
    }
    state = .present(block)
  }

  func drop() {
    // Whoever uses it next hears of a failure again.
    try? settle()
    if case .present(let block) = state { device.freeNow(block) }
    state = .absent
  }

  func end() {
    drop()
    if let arrived { _ = device.functions.destroyEvent(arrived) }
    arrived = nil
  }

  /// Dense, in the device's type.
  private func elements() -> Tensor {
    weight.prefetch()
    return HostWeights.dense(weight, as: dtype)
  }
}
