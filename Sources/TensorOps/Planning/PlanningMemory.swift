import Synchronization
public import TensorCore

/// Imagined memory: tensors that have a size and a life but no bytes. It keeps freed blocks as the pool of real tensors does,
/// so what it says of a run is what the run will hold, whatever the size.
public final class PlanningMemory: Sendable {
  private struct State {
    var ledger = BlockLedger<Void>()
    /// Weights whose pages have been read, by the address of their storage and their first byte.
    var weights: [WeightPlace: Int] = [:]
    var weightBytes = 0
    var peakBytes = 0
    var peakWeightBytes = 0
    /// Bytes of weights that were not in memory before they were used.
    var weightBytesRead = 0
    var other = 0

    var bytes: Int { ledger.statistics.bytesInUse + ledger.statistics.bytesKept + weightBytes + other }
    mutating func notePeak() {
      peakBytes = max(peakBytes, bytes)
      peakWeightBytes = max(peakWeightBytes, weightBytes)
    }
  }

  private struct WeightPlace: Hashable {
    let storage: ObjectIdentifier
    let offset: Int
  }

  private let state = Mutex(State())

  public init() {}

  /// What has been held so far.
  public struct Statistics: Sendable, Hashable {
    /// Tensors and working memory: the same figures as the pool's.
    public var pool = HostBufferPool.Statistics()
    /// Weights in memory, and what of them was read since the peak was reset.
    public var weightBytes = 0
    public var peakWeightBytes = 0
    public var weightBytesRead = 0
    /// The largest sum of tensors, kept blocks, weights and what else was booked.
    public var peakBytes = 0
  }

  public var statistics: Statistics {
    state.withLock { state in
      Statistics(
        pool: state.ledger.statistics, weightBytes: state.weightBytes, peakWeightBytes: state.peakWeightBytes,
        weightBytesRead: state.weightBytesRead, peakBytes: state.peakBytes)
    }
  }

  /// Starts a new measurement of peaks and reading.
  public func beginStage() {
    state.withLock { state in
      state.ledger.resetPeak()
      state.peakBytes = state.bytes
      state.peakWeightBytes = state.weightBytes
      state.weightBytesRead = 0
    }
  }

  /// Gives up what no tensor uses, as the pool does at the end of a stage.
  public func trim() { state.withLock { _ = $0.ledger.trim() } }

  /// Books memory that is not a tensor's, such as a program's tables; negative to give it up.
  public func book(_ byteCount: Int) {
    state.withLock { state in
      state.other += byteCount
      state.notePeak()
    }
  }

  // MARK: Tensors

  /// A tensor without contents, dense unless strides are given.
  public func tensor(_ shape: Shape, _ dtype: DType = .float32, strides: [Int]? = nil) -> Tensor {
    let storage = PlannedStorage(byteCount: shape.count * dtype.byteCount, in: self)
    return Tensor(shape: shape, dtype: dtype, strides: strides, storage: storage)
  }

  /// Working memory of a call.
  public func scratch(byteCount: Int) -> PlannedStorage { PlannedStorage(byteCount: max(byteCount, 4), in: self) }

  fileprivate func take(_ size: Int) {
    state.withLock { state in
      _ = state.ledger.take(size: size)
      state.notePeak()
    }
  }

  fileprivate func give(_ size: Int) { state.withLock { $0.ledger.give((), size: size) } }

  // MARK: Weights

  /// Says that a weight is read: it is in memory from now on.
  /// - Parameter byteCount: how much of it; all where absent.
  public func use(_ weight: Weight, byteCount: Int? = nil) {
    let bytes = min(byteCount ?? weight.tensor.byteCount, weight.tensor.byteCount)
    let place = PlanningMemory.place(weight)
    state.withLock { state in
      let known = state.weights[place] ?? 0
      if known >= bytes { return }
      state.weights[place] = bytes
      state.weightBytes += bytes - known
      state.weightBytesRead += bytes - known
      state.notePeak()
    }
  }

  /// Says that a weight is no longer in memory.
  public func release(_ weight: Weight) {
    let place = PlanningMemory.place(weight)
    state.withLock { state in state.weightBytes -= state.weights.removeValue(forKey: place) ?? 0 }
  }

  /// Says that no weight is in memory any more: the networks are gone.
  public func releaseWeights() {
    state.withLock { state in
      state.weights.removeAll()
      state.weightBytes = 0
    }
  }

  private static func place(_ weight: Weight) -> WeightPlace {
    WeightPlace(
      storage: ObjectIdentifier(weight.tensor.storage), offset: weight.tensor.offset * weight.dtype.byteCount)
  }
}

/// The memory of a planned tensor.
public final class PlannedStorage: Storage {
  public let byteCount: Int
  private let size: Int
  private let memory: PlanningMemory

  init(byteCount: Int, in memory: PlanningMemory) {
    self.byteCount = byteCount
    self.memory = memory
    size = BlockLedger<Void>.blockSize(for: byteCount)
    memory.take(size)
  }

  deinit { memory.give(size) }

  /// There are no bytes.
  public var hostAddress: UnsafeMutableRawPointer? { nil }
}
