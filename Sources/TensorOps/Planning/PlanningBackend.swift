import Synchronization

/// A device that computes nothing: its operations take and give tensors without contents, with the layouts, the copies and the
/// working memory of a real device, and write down what they would have done. Networks run on it as on any other device, so
/// what a run needs is found from the networks themselves.
///
/// Each device describes itself with one of these, beside its kernels.
public protocol PlanningBackend: Backend {
  var memory: PlanningMemory { get }
  var journal: PlanningJournal { get }

  /// Whether weights that are adopted are copies in memory of the device's own, for as long as they live.
  var hasOwnMemory: Bool { get }

  /// The most of the device's own memory that was taken at a time since the last call.
  func takeDevicePeak() -> Int
}

/// Devices that compute in the host's memory.
extension PlanningBackend {
  public var hasOwnMemory: Bool { false }
  public func takeDevicePeak() -> Int { 0 }
}

/// What the operations of a planning backend have written down.
public final class PlanningJournal: Sendable {
  private let state = Mutex((counts: OperationCounts(), change: 1.0))

  public init() {}

  /// - Parameters:
  ///   - work: of all calls together.
  ///   - calls: how often the operation is done.
  public func add(_ operation: PlannedOperation, _ work: OperationTotals, calls: Int = 1) {
    state.withLock { $0.counts.add(operation, work, calls: calls) }
  }

  /// What was written since the last time.
  public func take() -> OperationCounts {
    state.withLock { state in
      defer { state.counts = OperationCounts() }
      return state.counts
    }
  }

  /// What differences of tensors come to, beside 1 for tensors themselves: it decides what step caches do. 1 makes them compute,
  /// 0 skip.
  public var assumedChange: Double {
    get { state.withLock { $0.change } }
    set { state.withLock { $0.change = newValue } }
  }
}
