import Synchronization
public import TensorCore
public import TensorOps

/// What the CPU backend's operations need, without doing them: the same layouts, copies and working memory, in imagined memory.
/// Each operation follows its kernel's text line by line; `PlanningTests` holds both together.
public final class CPUPlanningBackend: PlanningBackend {
  public let name = "cpu"
  public let activationType = DType.float32
  public let memory = PlanningMemory()
  public let journal = PlanningJournal()

  let backend: CPUBackend
  let packed = Mutex(PackedPlans())
  private let arenas = Mutex<(floats: Int, blocks: [PlannedStorage])>((0, []))

  /// - Parameter backend: whose operations are planned; its threads and its convolutions' layouts count.
  public init(for backend: CPUBackend) { self.backend = backend }

  var pool: WorkerPool { backend.pool }

  public func trim() {
    arenas.withLock { $0 = (0, []) }
    memory.trim()
  }

  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    tensor.dtype == .float32 ? tensor : self.tensor(tensor.shape)
  }

  public func download(_ tensor: Tensor) throws(BackendError) -> Tensor { try contiguous(tensor) }

  public func adopt(_ weight: Weight) throws(BackendError) -> Weight { try backend.adopt(weight) }
}

// MARK: Memory

extension CPUPlanningBackend {
  func tensor(_ shape: Shape, _ dtype: DType = .float32) -> Tensor { memory.tensor(shape, dtype) }

  /// A result with the order of axes of a dense tensor.
  func tensor(like other: Tensor) -> Tensor { memory.tensor(other.shape, other.dtype, strides: other.strides) }

  /// Working memory of `count` floats.
  func scratch(_ count: Int) -> PlannedStorage { memory.scratch(byteCount: max(count, 1) * 4) }

  /// Working memory of a loop of `calls` calls, each with `count` floats: the threads' arenas, or for a loop on one thread a block
  /// as long as it runs.
  func tasks(_ calls: Int, _ count: Int) {
    if calls == 0 { return }
    if calls == 1 || pool.threads == 1 {
      withExtendedLifetime(scratch(count)) {}
      return
    }
    arenas.withLock { arenas in
      if count <= arenas.floats && !arenas.blocks.isEmpty { return }
      arenas.floats = WorkerArenas.blockSize(count)
      arenas.blocks = []
      arenas.blocks = (0..<pool.threads).map { _ in scratch(arenas.floats) }
    }
  }

  func copied(_ x: Tensor) -> Tensor {
    let result = tensor(x.shape, x.dtype)
    noteCopy(from: x, to: result)
    return result
  }

  func arranged(_ x: Tensor, like other: Tensor) -> Tensor {
    if x.hasLayout(of: other) { return x }
    let result = tensor(like: other)
    noteCopy(from: x, to: result)
    return result
  }

  func rows(_ x: Tensor) -> Rows { Rows(x.hasDenseRows ? x : copied(x)) }

  func channelsLast(_ x: Tensor) -> Tensor {
    let view = x.permuted([0, 2, 3, 4, 1])
    return view.isContiguous ? x : copied(view).permuted([0, 4, 1, 2, 3])
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

  /// Writes an operation down.
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
