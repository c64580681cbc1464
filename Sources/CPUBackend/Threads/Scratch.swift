import TensorCore

/// Working memory of one call or task, from the pool that tensors use. A copy of the value must live as long as the
/// address is used.
struct Scratch {
  private let storage: any Storage
  let count: Int
  /// Aligned to 64 bytes.
  let floats: UnsafeMutablePointer<Float>

  /// Room for `count` floats, uninitialized. Operations ask their workspace instead.
  init(count: Int) {
    let storage = HostStorage(byteCount: max(count, 1) * 4)
    guard let address = storage.hostAddress else { preconditionFailure("scratch: host memory has no address") }
    self.init(count: count, storage: storage, address: address.assumingMemoryBound(to: Float.self))
  }

  init(count: Int, storage: any Storage, address: UnsafeMutablePointer<Float>) {
    (self.count, self.storage, floats) = (count, storage, address)
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
