/// The books of a pool of memory blocks that keeps freed blocks for others of the same size: which are kept, and how much is
/// in use. A pool's memory and a plan's imagined memory differ in what a block is, and in nothing else.
public struct BlockLedger<Block> {
  /// Of sizes of which there are any.
  private var free: [Int: [Block]] = [:]
  public private(set) var statistics = HostBufferPool.Statistics()
  /// The most that was in use at any time.
  private var largestUse = 0

  public init() {}

  /// So much more than what was in use at most may be held before kept blocks are given up for new ones: sizes of one stage, or
  /// of one kind of tile, are of no use to the next.
  private static func slack(_ use: Int) -> Int { max(use / 8, 256 << 20) }

  /// Sizes are rounded so that nearly equal tensors share blocks: to 64 bytes when small, to 64 KiB when large.
  public static func blockSize(for byteCount: Int) -> Int {
    let granule = byteCount < 1 << 20 ? 64 : 1 << 16
    return max((byteCount + granule - 1) / granule * granule, granule)
  }

  /// Books a block of a size that `blockSize` gave.
  /// - Returns: a kept one, or nil where the system must give one; and kept blocks of other sizes to give back to the system,
  ///   the largest first.
  public mutating func take(size: Int) -> (kept: Block?, dropped: [Block]) {
    statistics.bytesInUse += size
    largestUse = max(largestUse, statistics.bytesInUse)
    let kept = takeKept(size)
    var dropped: [Block] = []
    if kept == nil {
      statistics.systemAllocations += 1
      statistics.systemBytes += size
      let allowed = largestUse + Self.slack(largestUse)
      while statistics.bytesInUse + statistics.bytesKept > allowed,
        let largest = free.keys.max(), let block = takeKept(largest)
      {
        dropped.append(block)
        statistics.bytesKept -= largest
      }
    } else {
      statistics.bytesKept -= size
    }
    statistics.peakBytesInUse = max(statistics.peakBytesInUse, statistics.bytesInUse)
    statistics.peakBytesHeld = max(statistics.peakBytesHeld, statistics.bytesInUse + statistics.bytesKept)
    return (kept, dropped)
  }

  private mutating func takeKept(_ size: Int) -> Block? {
    guard let block = free[size]?.popLast() else { return nil }
    if free[size]?.isEmpty == true { free[size] = nil }
    return block
  }

  /// Keeps a block for others.
  public mutating func give(_ block: Block, size: Int) {
    free[size, default: []].append(block)
    statistics.bytesInUse -= size
    statistics.bytesKept += size
  }

  /// Forgets the kept blocks and returns them.
  public mutating func trim() -> [Block] {
    defer {
      free.removeAll()
      statistics.bytesKept = 0
    }
    return free.values.flatMap { $0 }
  }

  /// Starts a new measurement of the peaks at the present use.
  public mutating func resetPeak() {
    statistics.peakBytesInUse = statistics.bytesInUse
    statistics.peakBytesHeld = statistics.bytesInUse + statistics.bytesKept
  }
}

extension BlockLedger: Sendable where Block: Sendable {}
