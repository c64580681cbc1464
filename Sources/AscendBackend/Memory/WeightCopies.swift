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
      do throws(AscendError) { return Transferred(try WeightCopies.make(functions)) } catch {
        _ = functions.resetDevice(Int32(index))
        throw error
      }
    }
    (stream, staging, fence) = made.value
  }

  /// A stream and what is needed for it; all or nothing.
  private static func make(_ functions: RuntimeFunctions) throws(AscendError) -> (aclrtStream, Staging, aclrtEvent) {
    let (stream, staging) = try Staging.withStream(functions)
    do throws(AscendError) { return (stream, staging, try AscendDevice.makeEvent(functions)) } catch {
      staging.close()
      _ = functions.destroyStream(stream)
      throw error
    }
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

  /// Copies host memory later, in the order in which copies were asked for.
  /// - Parameters:
  ///   - elements: gives dense host memory; called on the copies' thread, which may wait for a disk.
  ///   - arrived: recorded behind the copy.
  ///   - isDone: called when the copy is on the stream.
  /// - Returns: what waits until then, and for no copy behind this one.
  func post(
    _ elements: @escaping @Sendable () -> Tensor, to target: UnsafeMutableRawPointer, arrived: aclrtEvent,
    _ isDone: @escaping @Sendable (AscendError?) -> Void
  ) -> DeviceThread.Posted {
    let (target, arrived) = (Transferred(target), Transferred(arrived))
    return thread.post { [self] in
      do throws(AscendError) {
        let host = elements()
        defer { withExtendedLifetime(host) {} }
        try staging.upload(host.hostPointer, to: target.value, byteCount: host.byteCount)
        try functions.check(functions.recordEvent(arrived.value, stream), "aclrtRecordEvent")
        isDone(nil)
      } catch { isDone(error) }
    }
  }

  /// Returns when all that was posted is on the device.
  func finish() { thread.run { _ = functions.synchronize(stream) } }
}
