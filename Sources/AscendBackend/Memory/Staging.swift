import CAscend
import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Host memory that the device copies from and to by itself. Two buffers, so that one is filled while the other is under
/// way. Confined to the device's thread.
final class Staging {
  private struct Buffer {
    let address: UnsafeMutableRawPointer
    /// Recorded after the last copy that reads the buffer.
    let event: aclrtEvent
    var isUnderWay = false
  }

  private let functions: RuntimeFunctions
  private let stream: aclrtStream
  /// Whether there is nothing to be read or written: copies are asked for all the same.
  private let isDry: Bool
  private var buffers: [Buffer] = []
  private var next = 0

  /// The size of a buffer: large enough that a copy runs at the bus's rate.
  private static let byteCount = 8 << 20

  private init(functions: RuntimeFunctions, stream: aclrtStream, isDry: Bool) throws(AscendError) {
    self.functions = functions
    self.stream = stream
    self.isDry = isDry
    do throws(AscendError) { for _ in 0..<2 { buffers.append(try Staging.buffer(functions)) } } catch {
      close()
      throw error
    }
  }

  private static func buffer(_ functions: RuntimeFunctions) throws(AscendError) -> Buffer {
    var address: UnsafeMutableRawPointer?
    let status = functions.allocateHost(&address, byteCount)
    if status == CASCEND_RT_MEMORY_ALLOCATION.signed {
      throw .outOfPinnedMemory(byteCount: byteCount, message: functions.message)
    }
    try functions.check(status, "aclrtMallocHost")
    guard let address else { throw .callFailed(function: "aclrtMallocHost", status: 0, message: "no memory") }
    do throws(AscendError) { return Buffer(address: address, event: try AscendDevice.makeEvent(functions)) } catch {
      _ = functions.freeHost(address)
      throw error
    }
  }

  /// A stream with buffers for its copies, on the calling thread's device; both or, where one fails, none.
  static func withStream(
    _ functions: RuntimeFunctions, isDry: Bool = false
  ) throws(AscendError) -> (stream: aclrtStream, staging: Staging) {
    let stream = try AscendDevice.makeStream(functions)
    do throws(AscendError) {
      return (stream, try Staging(functions: functions, stream: stream, isDry: isDry))
    } catch {
      _ = functions.destroyStream(stream)
      throw error
    }
  }

  /// Puts copies of host memory on the stream. The host memory may change as soon as this returns.
  /// - Parameter source: nil where the contents do not matter.
  func upload(_ source: UnsafeRawPointer?, to target: UnsafeMutableRawPointer, byteCount: Int) throws(AscendError) {
    var done = 0
    while done < byteCount {
      let count = min(Staging.byteCount, byteCount - done)
      let index = next
      next = (next + 1) % buffers.count
      if buffers[index].isUnderWay {
        try functions.check(functions.synchronizeEvent(buffers[index].event), "aclrtSynchronizeEvent")
      }
      let buffer = buffers[index]
      if let source { buffer.address.copyMemory(from: source + done, byteCount: count) }
      try functions.check(
        functions.copy(target + done, byteCount - done, buffer.address, count, ACL_MEMCPY_HOST_TO_DEVICE, stream),
        "aclrtMemcpyAsync")
      try functions.check(functions.recordEvent(buffer.event, stream), "aclrtRecordEvent")
      buffers[index].isUnderWay = true
      done += count
    }
  }

  /// Waits for the stream and copies device memory to the host.
  func download(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, byteCount: Int) throws(AscendError) {
    // Uploads under way precede on the stream: one synchronization is enough for all.
    var done = 0
    while done < byteCount {
      let count = min(Staging.byteCount, byteCount - done)
      let buffer = buffers[next]
      try functions.check(
        functions.copy(
          buffer.address, Staging.byteCount, source + done, count, ACL_MEMCPY_DEVICE_TO_HOST, stream),
        "aclrtMemcpyAsync")
      try functions.check(functions.synchronize(stream), "aclrtSynchronizeStream")
      if !isDry { (target + done).copyMemory(from: buffer.address, byteCount: count) }
      done += count
    }
  }

  /// Frees the buffers, when the stream has nothing left to do.
  func close() {
    for buffer in buffers {
      _ = functions.destroyEvent(buffer.event)
      _ = functions.freeHost(buffer.address)
    }
    buffers = []
  }
}
