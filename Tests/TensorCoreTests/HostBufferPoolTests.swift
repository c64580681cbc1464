import TensorCore
import Testing

@Suite struct HostBufferPoolTests {
  @Test func `memory of a dropped tensor serves the next one of its size`() {
    let pool = HostBufferPool()
    var storage: HostStorage? = HostStorage(byteCount: 5000, pool: pool)
    let address = storage?.hostAddress
    #expect(UInt(bitPattern: address) % 64 == 0)
    storage = nil
    #expect(pool.statistics.bytesInUse == 0 && pool.statistics.bytesKept == 5056)
    storage = HostStorage(byteCount: 4999, pool: pool)
    withExtendedLifetime(storage) {
      #expect(storage?.hostAddress == address && storage?.byteCount == 4999)
      #expect(pool.statistics.systemAllocations == 1 && pool.statistics.bytesKept == 0)
    }
  }

  @Test func `living tensors never share a block`() {
    let pool = HostBufferPool()
    let storages = (0..<10).map { _ in HostStorage(byteCount: 100, pool: pool) }
    withExtendedLifetime(storages) {
      #expect(Set(storages.map(\.hostAddress)).count == 10)
      #expect(pool.statistics.systemAllocations == 10 && pool.statistics.bytesInUse == 1280)
    }
  }

  @Test func `a trimmed pool takes memory from the system again`() {
    let pool = HostBufferPool()
    do { _ = HostStorage(byteCount: 64, pool: pool) }
    pool.trim()
    #expect(pool.statistics.bytesKept == 0)
    let storage = HostStorage(byteCount: 64, pool: pool)
    #expect(pool.statistics.systemAllocations == 2 && storage.byteCount == 64)
  }

  @Test func `the peak is the largest use since it was reset`() {
    let pool = HostBufferPool()
    do {
      let pair = [HostStorage(byteCount: 1 << 20, pool: pool), HostStorage(byteCount: 1 << 20, pool: pool)]
      withExtendedLifetime(pair) { #expect(pool.statistics.peakBytesInUse == 2 << 20) }
    }
    #expect(pool.statistics.peakBytesInUse == 2 << 20 && pool.statistics.bytesInUse == 0)
    pool.resetPeak()
    #expect(pool.statistics.peakBytesInUse == 0)
  }

  @Test func `storage of no bytes has an address all the same`() {
    let storage = HostStorage(byteCount: 0, pool: HostBufferPool())
    #expect(storage.hostAddress != nil && storage.byteCount == 0)
  }
}
