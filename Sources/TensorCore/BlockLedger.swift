/// The books of a pool of memory blocks that keeps freed blocks for others of the same size: which are kept, and how much is
/// in use. A pool's memory and a plan's imagined memory differ in what a block is, and in nothing else.
public struct BlockLedger<Block> {
  @usableFromInline var free: [Int: [Block]] = [:]
  @usableFromInline var books = HostBufferPool.Statistics()
  /// The most that was in use at any time.
  @usableFromInline var largestUse = 0

  public init() {}

  @inlinable public var statistics: HostBufferPool.Statistics { books }

  /// So much more than what was in use at most may be held before kept blocks are given up for new ones: sizes of one stage, or
  /// of one kind of tile, are of no use to the next.
  @usableFromInline static func slack(_ use: Int) -> Int { max(use / 8, 256 << 20) }

  /// Sizes are rounded so that nearly equal tensors share blocks: to 64 bytes when small, to 64 KiB when large.
  @inlinable
  public static func blockSize(for byteCount: Int) -> Int {
    let granule = byteCount < 1 << 20 ? 64 : 1 << 16
    return max((byteCount + granule - 1) / granule * granule, granule)
  }

  /// Books a block of a size that `blockSize` gave.
  /// - Returns: a kept one, or nil where the system must give one; and kept blocks of other sizes to give back to the system,
  ///   the largest first.
  @inlinable
  public mutating func take(size: Int) -> (kept: Block?, dropped: [Block]) {
    books.bytesInUse += size
    largestUse = max(largestUse, books.bytesInUse)
    let kept = free[size]?.popLast()
    var dropped: [Block] = []
    if kept == nil {
      books.systemAllocations += 1
      books.systemBytes += size
      let allowed = largestUse + Self.slack(largestUse)
      while books.bytesInUse + books.bytesKept > allowed,
        let largest = free.lazy.filter({ !$0.value.isEmpty }).map({ $0.key }).max(),
        let block = free[largest]?.popLast()
      {
        dropped.append(block)
        books.bytesKept -= largest
      }
    } else {
      books.bytesKept -= size
    }
    books.peakBytesInUse = max(books.peakBytesInUse, books.bytesInUse)
    books.peakBytesHeld = max(books.peakBytesHeld, books.bytesInUse + books.bytesKept)
    return (kept, dropped)
  }

  /// Keeps a block for others.
  @inlinable
  public mutating func give(_ block: Block, size: Int) {
    free[size, default: []].append(block)
    books.bytesInUse -= size
    books.bytesKept += size
  }

  /// Forgets the kept blocks and returns them.
  public mutating func trim() -> [Block] {
    defer {
      free.removeAll()
      books.bytesKept = 0
    }
    return free.values.flatMap { $0 }
  }

  /// Starts a new measurement of the peaks at the present use.
  public mutating func resetPeak() {
    books.peakBytesInUse = books.bytesInUse
    books.peakBytesHeld = books.bytesInUse + books.bytesKept
  }
}

extension BlockLedger: Sendable where Block: Sendable {}
