import TensorCore
import Testing

@Suite struct BlockLedgerTests {
  @Test func `a block that was given back serves the next of its size`() {
    var ledger = BlockLedger<Int>()
    #expect(ledger.take(size: 1024).kept == nil)
    ledger.give(7, size: 1024)
    #expect(ledger.statistics.bytesInUse == 0 && ledger.statistics.bytesKept == 1024)
    #expect(ledger.take(size: 2048).kept == nil)
    #expect(ledger.take(size: 1024).kept == 7)
    #expect(ledger.statistics.systemAllocations == 2 && ledger.statistics.peakBytesHeld == 3072)
  }

  @Test func `kept blocks are given up, largest first, before more is held than use and slack need`() {
    var ledger = BlockLedger<Int>()
    let (mebibyte, slack) = (1 << 20, 256 << 20)
    for (block, size) in [(1, 200 * mebibyte), (2, 100 * mebibyte)] {
      _ = ledger.take(size: size)
      ledger.give(block, size: size)
    }
    // 300 MiB are kept; 200 were in use at most.
    #expect(ledger.take(size: 150 * mebibyte).dropped.isEmpty)
    #expect(ledger.take(size: 120 * mebibyte).dropped == [1])
    #expect(ledger.statistics.bytesKept == 100 * mebibyte)
    #expect(ledger.statistics.peakBytesHeld <= 270 * mebibyte + slack)
  }

  @Test(arguments: [(1, 64), (65, 128), ((1 << 20) + 1, (1 << 20) + (1 << 16))])
  func `sizes are rounded up to classes`(_ sizes: (asked: Int, block: Int)) {
    #expect(BlockLedger<Int>.blockSize(for: sizes.asked) == sizes.block)
  }
}
