/// Host memory that goes back to its pool when the last tensor using it is gone.
public final class HostStorage: Storage, @unchecked Sendable {
  // Sendable: the address and size never change; writers are tensors under construction, which have one owner.
  private let buffer: HostBuffer
  private let pool: HostBufferPool
  public let byteCount: Int

  /// Uninitialized memory, aligned to 64 bytes.
  public init(byteCount: Int, pool: HostBufferPool = .shared) {
    self.byteCount = byteCount
    self.pool = pool
    buffer = pool.take(byteCount: byteCount)
  }

  deinit { pool.give(buffer) }

  /// The address of tensors without elements.
  nonisolated(unsafe) static let empty = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)

  public var hostAddress: UnsafeMutableRawPointer? { buffer.address }
}
