#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One aligned block of host memory.
struct HostBuffer: @unchecked Sendable {
  let address: UnsafeMutableRawPointer
  let byteCount: Int

  /// Large blocks are mapped one by one: when they are given up, the process is smaller at once. The allocator of small ones
  /// may keep what it gets back.
  private static let smallestMapped = 1 << 17

  /// Aligned to 64 bytes at least; nil where the system has no more.
  static func systemMemory(byteCount: Int) -> UnsafeMutableRawPointer? {
    if byteCount >= smallestMapped {
      let mapping = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      return mapping == MAP_FAILED ? nil : mapping
    }
    var address: UnsafeMutableRawPointer?
    return posix_memalign(&address, 64, byteCount) == 0 ? address : nil
  }

  /// Gives the memory back to the system.
  func free() {
    if byteCount >= Self.smallestMapped { munmap(address, byteCount) } else { systemFree(address) }
  }
}

private func systemFree(_ address: UnsafeMutableRawPointer) { free(address) }

/// Keeps freed tensor memory for tensors of the same size. A network asks for the same sizes at every step, so after
/// the first one hardly any memory is taken from the system: fresh pages cost more to zero than most kernels take.
public final class HostBufferPool: Sendable {
  public static let shared = HostBufferPool()

  /// What the pool has done so far.
  public struct Statistics: Sendable, Hashable {
    /// Blocks and bytes taken from the system since the process began.
    public var systemAllocations = 0
    public var systemBytes = 0
    /// Bytes held by living tensors, the largest value of that so far, and bytes kept for reuse.
    public var bytesInUse = 0
    public var peakBytesInUse = 0
    public var bytesKept = 0
    /// The largest sum of what was in use and what was kept: what the process holds.
    public var peakBytesHeld = 0

    public init() {}
  }

  private let state = Guarded(BlockLedger<HostBuffer>())

  public init() {}

  deinit { trim() }

  public var statistics: Statistics { state.withLock { $0.statistics } }

  /// Gives the memory that no tensor uses back to the system; for the end of a stage.
  public func trim() {
    for buffer in state.withLock({ $0.trim() }) { buffer.free() }
  }

  /// Starts a new measurement of the peak at the current use.
  public func resetPeak() { state.withLock { $0.resetPeak() } }

  func take(byteCount: Int) -> HostBuffer {
    let size = BlockLedger<HostBuffer>.blockSize(for: byteCount)
    let (kept, dropped) = state.withLock { $0.take(size: size) }
    for buffer in dropped { buffer.free() }
    if let kept { return kept }
    var address = HostBuffer.systemMemory(byteCount: size)
    if address == nil {
      trim()
      address = HostBuffer.systemMemory(byteCount: size)
    }
    guard let address else {
      endForWantOfMemory(byteCount: size)
    }
    return HostBuffer(address: address, byteCount: size)
  }

  func give(_ buffer: HostBuffer) { state.withLock { $0.give(buffer, size: buffer.byteCount) } }
}

/// Ends the process with the one line that every failure gets and status 1. A tensor is made in hundreds of places, none of
/// which could go on; systems that overcommit (most) do not even refuse, they kill.
private func endForWantOfMemory(byteCount: Int) -> Never {
  let line =
    "error: out of memory: tensors: expected \(byteCount) more bytes, found none; choose a smaller size or fewer "
    + "frames, or decode in tiles\n"
  _ = Array(line.utf8).withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  exit(1)
}
