import TensorCore
import TensorOps

/// What operations are done in: threads, memory for results and memory for work.
///
/// A plan does the same operations in an imagined one: its memory has sizes and a life but no bytes, its loops take what they need
/// and do nothing, and each operation is written down. So an operation has one text, and a plan cannot differ from a run. What
/// reads or writes elements therefore goes through here: loops through `parallel`, the rest through `serially`.
final class Workspace: Sendable {
  let threads: Int
  private let pool: WorkerPool
  private let imagined: ImaginedWork?

  /// - Parameter imagined: where a plan's books are kept; nil to compute.
  init(threads: Int, imagined: ImaginedWork? = nil) {
    (self.threads, self.imagined) = (threads, imagined)
    pool = .shared(threads: threads)
  }

  /// Threads that the system did not give.
  var missingThreads: Int { pool.missingWorkers }

  /// Whether there are elements.
  var computes: Bool { imagined == nil }

  /// Gives up the threads' working memory and the blocks that are kept for reuse.
  func trim() {
    if let imagined { return imagined.trim() }
    pool.releaseArenas()
    HostBufferPool.shared.trim()
  }
}

// MARK: Memory

extension Workspace {
  /// A dense tensor for a kernel to fill.
  func tensor(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
    imagined?.memory.tensor(shape, dtype) ?? Tensor(uninitialized: shape, dtype)
  }

  /// One with the shape and the order of axes of a dense tensor.
  func tensor(like other: Tensor) -> Tensor {
    if let imagined { return imagined.memory.tensor(other.shape, other.dtype, strides: other.strides) }
    return Tensor(
      shape: other.shape, dtype: other.dtype, strides: other.strides,
      storage: HostStorage(byteCount: other.count * other.dtype.byteCount))
  }

  /// Working memory of a call: room for `count` floats.
  func scratch(_ count: Int) -> Scratch { imagined?.scratch(count) ?? Scratch(count: count) }

  /// Room for some bytes.
  func scratch(byteCount: Int) -> Scratch { scratch((byteCount + 3) / 4) }

  /// The numbers of a parameter that has to be `[count]`.
  func widened(_ weight: Weight, count: Int, _ operation: String) throws(BackendError) -> Scratch {
    precondition(weight.shape == [count], "\(operation): \(weight.name) is \(weight.tensor), expected shape [\(count)]")
    let matrix = try WeightMatrix(weight, operation)
    let scratch = scratch(count)
    serially { matrix.widen(rows: 0..<count, columns: 0..<1, to: scratch.floats, stride: 1) }
    return scratch
  }

  /// Copies elements between two layouts of one shape.
  func copy(from source: Tensor, to target: Tensor) {
    if let imagined { return imagined.noteCopy(from: source, to: target) }
    StridedCopy(from: source, to: target).run(on: pool)
  }
}

// MARK: Work

extension Workspace {
  /// Does something that is no loop on the calling thread.
  @inline(__always)
  func serially<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) { if computes { try body() } }

  /// Does something on the calling thread, with `scratch` floats of working memory.
  func serially(scratch count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    let memory = scratch(count)
    withExtendedLifetime(memory) { serially { body(memory.floats) } }
  }

  /// Calls the body once for every index below `count`, on all threads; returns when all calls have.
  /// - Throws: the first error of the body.
  func parallel<Failure: Error>(count: Int, _ body: (Int) throws(Failure) -> Void) throws(Failure) {
    if let imagined { return imagined.loop(count: count, scratch: 0, threads: threads) }
    try pool.parallel(count: count, body)
  }

  /// The same with working memory for each call: `scratch` floats that are the thread's and hold what its last call left.
  func parallel<Failure: Error>(
    count: Int, scratch: Int, _ body: (Int, UnsafeMutablePointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    if let imagined { return imagined.loop(count: count, scratch: scratch, threads: threads) }
    try pool.parallel(count: count, scratch: scratch, body)
  }

  /// Divides `0..<count` into ranges of at least `grain` (but the last) and calls the body with each.
  func parallelRanges<Failure: Error>(
    count: Int, grain: Int, _ body: (Range<Int>) throws(Failure) -> Void
  ) throws(Failure) {
    if let imagined {
      return imagined.loop(count: pool.rangeCount(count: count, grain: grain), scratch: 0, threads: threads)
    }
    try pool.parallelRanges(count: count, grain: grain, body)
  }

  /// The same with working memory for each call.
  func parallelRanges<Failure: Error>(
    count: Int, grain: Int, scratch: Int, _ body: (Range<Int>, UnsafeMutablePointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    if let imagined {
      return imagined.loop(count: pool.rangeCount(count: count, grain: grain), scratch: scratch, threads: threads)
    }
    try pool.parallelRanges(count: count, grain: grain, scratch: scratch, body)
  }
}

// MARK: Plans

extension Workspace {
  /// Writes an operation down, in plans alone.
  /// - Parameters:
  ///   - extents: those of the kind (`PlannedOperation.Kind`).
  ///   - weights: what it reads of a checkpoint, the one whose format matters first.
  ///   - operations: multiplications and additions.
  ///   - reads: bytes of activations.
  @inline(__always)
  func note(
    _ kind: PlannedOperation.Kind, _ extents: @autoclosure () -> [Int],
    _ weights: @autoclosure () -> [Weight?] = [], operations: @autoclosure () -> Double = 0,
    reads: @autoclosure () -> Int, writes: @autoclosure () -> Int
  ) {
    guard let imagined else { return }
    imagined.note(kind, extents(), weights(), operations: operations(), reads: reads(), writes: writes())
  }

  /// Writes down that rows of a table are read, in plans alone.
  func noteEmbedding(rows: Int, of table: Weight, writes: Int) {
    imagined?.noteEmbedding(rows: rows, of: table, writes: writes)
  }
}
