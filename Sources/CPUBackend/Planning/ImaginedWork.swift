import Synchronization
import TensorCore
import TensorOps

/// The books of a plan: memory without bytes, and the operations that would have been done.
final class ImaginedWork: Sendable {
  let memory = PlanningMemory()
  let journal = PlanningJournal()
  private let arenas = Mutex(WorkerArenas())

  func trim() {
    arenas.withLock { $0 = WorkerArenas() }
    memory.trim()
  }

  /// Working memory of `count` floats.
  func scratch(_ count: Int) -> Scratch {
    Scratch(count: count, storage: memory.scratch(byteCount: max(count, 1) * 4), address: Tensor.imaginedAddress)
  }

  /// A loop: the threads' arenas, or on one thread a block as long as it runs (`WorkerPool.parallel`).
  func loop(count: Int, scratch floats: Int, threads: Int) {
    if count == 0 { return }
    if count == 1 || threads == 1 {
      withExtendedLifetime(scratch(floats)) {}
    } else {
      arenas.withLock { $0.reserve(floats, threads: threads) { scratch($0) } }
    }
  }

  func noteCopy(from source: Tensor, to target: Tensor) {
    var run = 1
    var axis = source.shape.rank - 1
    // Elements that are neighbours in both.
    while axis >= 0, source.shape[axis] == 1 || (source.strides[axis] == run && target.strides[axis] == run) {
      run *= source.shape[axis]
      axis -= 1
    }
    note(.copy, [source.count, min(run, 4096)], reads: source.byteCount, writes: target.byteCount)
  }

  func noteEmbedding(rows: Int, of table: Weight, writes: Int) {
    // A row brings the pages round it: the system maps up to 64 KiB at a touch.
    let rowBytes = table.tensor.byteCount / max(table.shape[0], 1)
    memory.use(table, byteCount: rows * (rowBytes + (64 << 10)))
    note(.embedding, [rows, table.shape[1]], reads: rows * rowBytes, writes: writes)
  }

  func note(
    _ kind: PlannedOperation.Kind, _ extents: [Int], _ weights: [Weight?] = [], operations: Double = 0, reads: Int,
    writes: Int
  ) {
    var work = OperationTotals()
    work.calls = 1
    work.operations = operations
    var stored = 0
    for weight in weights {
      guard let weight else { continue }
      memory.use(weight)
      stored += weight.tensor.byteCount
    }
    work.weightBytes = Double(stored)
    work.bytesRead = Double(reads + stored)
    work.bytesWritten = Double(writes)
    journal.add(PlannedOperation(kind, extents, format: weights.first??.storageName ?? ""), work)
  }
}
