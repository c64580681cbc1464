import Synchronization

/// A device that computes nothing: its operations take and give tensors without contents, with the layouts, the copies and the
/// working memory of a real device, and write down what they would have done. Networks run on it as on any other device, so
/// what a run needs is found from the networks themselves.
///
/// Each device describes itself with one of these, beside its kernels.
public protocol PlanningBackend: Backend {
  var memory: PlanningMemory { get }
  var journal: PlanningJournal { get }
}

/// What the operations of a planning backend have written down.
public final class PlanningJournal: Sendable {
  private let state = Mutex((counts: OperationCounts(), change: 1.0))

  public init() {}

  public func add(_ operation: PlannedOperation, _ work: OperationTotals) {
    state.withLock { $0.counts.add(operation, work) }
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
