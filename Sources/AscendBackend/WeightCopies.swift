import CAscend
import TensorCore
import TensorOps

/// Brings weights to a device beside its work: a thread that reads the host's memory, and a stream for the copies.
final class WeightCopies: @unchecked Sendable {
  // Sendable: the staging is confined to the thread, the rest never changes.
  private let functions: RuntimeFunctions
  private let thread = DeviceThread()
  private let staging: Staging
  let stream: aclrtStream
  private let index: Int
  /// Recorded on the device's own stream when memory changes hands.
  private let fence: aclrtEvent

  /// - Throws: `AscendError`
  init(index: Int, functions: RuntimeFunctions) throws(AscendError) {
    (self.index, self.functions) = (index, functions)
    let made = try thread.run { () throws(AscendError) in
      try functions.check(functions.setDevice(Int32(index)), "aclrtSetDevice")
      let stream = try AscendDevice.makeStream(functions)
      return Transferred(
        (stream, try Staging(functions: functions, stream: stream), try AscendDevice.makeEvent(functions)))
    }
    (stream, staging, fence) = made.value
  }

  /// Ends the copies, when nobody waits for any.
  func close() {
    thread.run {
      _ = functions.synchronize(stream)
      staging.close()
      _ = functions.destroyEvent(fence)
      _ = functions.destroyStream(stream)
      _ = functions.resetDevice(Int32(index))
    }
  }

  /// Lets the copies to come wait for what is on a stream now: memory that they write to may still be read there.
  /// On the device's thread.
  func waits(for other: aclrtStream) throws(AscendError) {
    try functions.check(functions.recordEvent(fence, other), "aclrtRecordEvent")
    try functions.wait(stream, for: fence)
  }

  /// Copies host memory later, and tells when the copy is on the stream.
  /// - Parameters:
  ///   - elements: gives dense host memory; called on the copies' thread, which may wait for a disk.
  ///   - arrived: recorded behind the copy.
  func post(
    _ elements: @escaping @Sendable () -> Tensor, to target: UnsafeMutableRawPointer, arrived: aclrtEvent,
    _ isDone: @escaping @Sendable (AscendError?) -> Void
  ) {
    let (target, arrived) = (Transferred(target), Transferred(arrived))
    thread.post { [self] in
      do throws(AscendError) {
        let host = elements()
        defer { withExtendedLifetime(host) {} }
        try staging.upload(host.hostPointer, to: target.value, byteCount: host.byteCount)
        try functions.check(functions.recordEvent(arrived.value, stream), "aclrtRecordEvent")
        isDone(nil)
      } catch { isDone(error) }
    }
  }

  /// Returns when all that was posted is on the stream.
  func drain() { thread.run {} }

  /// Returns when it is on the device too.
  func finish() { thread.run { _ = functions.synchronize(stream) } }
}
