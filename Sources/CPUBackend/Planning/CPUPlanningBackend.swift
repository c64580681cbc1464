public import TensorCore
public import TensorOps

/// What the CPU backend's operations need, without doing them: the operations of `CPUBackend` themselves, in an imagined
/// workspace.
public final class CPUPlanningBackend: PlanningBackend, ForwardingBackend {
  private let work = ImaginedWork()
  private let backend: CPUBackend

  /// - Parameter backend: whose operations are planned, with its threads, its precision and what is known of oneDNN.
  public init(for backend: CPUBackend) { self.backend = CPUBackend(imagining: work, like: backend) }

  public var memory: PlanningMemory { work.memory }
  public var journal: PlanningJournal { work.journal }
  public var base: any Backend { backend }

  public func forwarding<Result>(_ operation: () throws(BackendError) -> Result) throws(BackendError) -> Result {
    try operation()
  }

  /// One, or for differences what the journal assumes: there are no numbers.
  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    _ = try backend.absoluteSum(x, minus: y)
    return y == nil ? 1 : journal.assumedChange
  }
}
