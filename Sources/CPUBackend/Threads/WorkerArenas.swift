import TensorCore

/// Working memory of a pool's threads, kept from loop to loop: as much for each thread as any loop has asked for. All threads get
/// theirs before a loop starts, so that what is allocated does not depend on which thread comes first.
struct WorkerArenas: @unchecked Sendable {
  // Sendable: whoever holds one guards it.
  private var blocks: [Scratch] = []
  private var count = 0

  /// Sizes are powers of two, so that there are few.
  static func blockSize(_ floats: Int) -> Int {
    floats <= 1 << 10 ? 1 << 10 : 1 << (Int.bitWidth - (floats - 1).leadingZeroBitCount)
  }

  /// Makes room for so many floats for each thread.
  /// - Parameter make: takes a block of so many floats.
  mutating func reserve(_ floats: Int, threads: Int, make: (Int) -> Scratch = { Scratch(count: $0) }) {
    if floats <= count && !blocks.isEmpty { return }
    count = WorkerArenas.blockSize(floats)
    // Those there are go back first.
    blocks = []
    blocks = (0..<threads).map { _ in make(count) }
  }

  /// The memory of a thread.
  func memory(of thread: Int) -> UnsafeMutablePointer<Float> { blocks[thread].floats }
}
