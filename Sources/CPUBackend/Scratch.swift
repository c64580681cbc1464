import TensorCore

/// Working memory of one call or task, from the pool that tensors use. A copy of the value must live as long as the
/// address is used.
struct Scratch {
  private let storage: HostStorage
  let count: Int

  /// Room for `count` floats, uninitialized, aligned to 64 bytes.
  init(count: Int) {
    self.count = count
    storage = HostStorage(byteCount: max(count, 1) * 4)
  }

  /// Room for some bytes.
  init(byteCount: Int) { self.init(count: (byteCount + 3) / 4) }

  var floats: UnsafeMutablePointer<Float> {
    guard let address = storage.hostAddress else { preconditionFailure("scratch: host memory has no address") }
    return address.assumingMemoryBound(to: Float.self)
  }

  var bytes: UnsafeMutableRawPointer { UnsafeMutableRawPointer(floats) }

  /// The address for the duration of a call.
  static func with<Result, Failure: Error>(
    count: Int, _ body: (UnsafeMutablePointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let scratch = Scratch(count: count)
    defer { withExtendedLifetime(scratch) {} }
    return try body(scratch.floats)
  }
}
