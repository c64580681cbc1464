import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One aligned block of host memory.
struct HostBuffer: @unchecked Sendable {
  let address: UnsafeMutableRawPointer
  let byteCount: Int
}

/// Keeps freed tensor memory for tensors of the same size. A network asks for the same sizes at every step, so after
/// the first one no memory is taken from the system: fresh pages cost more to zero than most kernels take.
public final class HostBufferPool: Sendable {
  public static let shared = HostBufferPool()

  /// What the pool has done so far.
  public struct Statistics: Sendable {
    /// Blocks and bytes taken from the system since the process began.
    public var systemAllocations = 0
    public var systemBytes = 0
    /// Bytes held by living tensors, the largest value of that so far, and bytes kept for reuse.
    public var bytesInUse = 0
    public var peakBytesInUse = 0
    public var bytesKept = 0
  }

  private struct State: Sendable {
    var free: [Int: [HostBuffer]] = [:]
    var statistics = Statistics()
  }

  private let state = Mutex(State())

  public init() {}

  deinit { trim() }

  public var statistics: Statistics { state.withLock { $0.statistics } }

  /// Gives the memory that no tensor uses back to the system; for the end of a stage.
  public func trim() {
    let buffers = state.withLock { state in
      let buffers = state.free.values.flatMap { $0 }
      state.free.removeAll()
      state.statistics.bytesKept = 0
      return buffers
    }
    for buffer in buffers { free(buffer.address) }
  }

  /// Starts a new measurement of the peak at the current use.
  public func resetPeak() {
    state.withLock { $0.statistics.peakBytesInUse = $0.statistics.bytesInUse }
  }

  func take(byteCount: Int) -> HostBuffer {
    let size = HostBufferPool.blockSize(for: byteCount)
    let kept: HostBuffer? = state.withLock { state in
      state.statistics.bytesInUse += size
      state.statistics.peakBytesInUse = max(state.statistics.peakBytesInUse, state.statistics.bytesInUse)
      guard let buffer = state.free[size]?.popLast() else {
        state.statistics.systemAllocations += 1
        state.statistics.systemBytes += size
        return nil
      }
      state.statistics.bytesKept -= size
      return buffer
    }
    if let kept { return kept }
    var address: UnsafeMutableRawPointer?
    if posix_memalign(&address, 64, size) != 0 || address == nil {
      trim()
      _ = posix_memalign(&address, 64, size)
    }
    guard let address else {
      endForWantOfMemory(byteCount: size)
    }
    return HostBuffer(address: address, byteCount: size)
  }

  func give(_ buffer: HostBuffer) {
    state.withLock { state in
      state.free[buffer.byteCount, default: []].append(buffer)
      state.statistics.bytesInUse -= buffer.byteCount
      state.statistics.bytesKept += buffer.byteCount
    }
  }

  /// Sizes are rounded so that nearly equal tensors share blocks: to 64 bytes when small, to 64 KiB when large.
  private static func blockSize(for byteCount: Int) -> Int {
    let granule = byteCount < 1 << 20 ? 64 : 1 << 16
    return max((byteCount + granule - 1) / granule * granule, granule)
  }
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
