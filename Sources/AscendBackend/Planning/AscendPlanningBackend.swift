public import Collectives
public import TensorCore
public import TensorOps

/// What a run on an NPU needs: the operations of `AscendBackend` themselves, on an emulated device that checks every call and
/// books every allocation but computes nothing.
public final class AscendPlanningBackend: PlanningBackend, ForwardingBackend {
  /// The host's memory.
  public let memory: PlanningMemory
  public let journal: PlanningJournal
  private let backend: AscendBackend

  /// - Parameters:
  ///   - libraries: of emulated devices.
  ///   - byteCount: the memory of the device: what does not fit is an error.
  ///   - streamsWeights: whether large parameters stay with the host and are brought as they are used.
  /// - Throws: `AscendError` where the libraries have no such devices.
  public convenience init(
    dryRunIn libraries: CANNLibraries, byteCount: Int, activationType: DType = .bfloat16, streamsWeights: Bool = false
  ) throws(AscendError) {
    let device = try AscendDevice(dryRunIn: libraries, byteCount: byteCount)
    self.init(
      AscendBackend(device: device, activationType: activationType, streamsWeights: streamsWeights),
      memory: PlanningMemory(), journal: PlanningJournal())
  }

  private init(_ backend: AscendBackend, memory: PlanningMemory, journal: PlanningJournal) {
    (self.backend, self.memory, self.journal) = (backend, memory, journal)
  }

  /// The same device with activations of another type.
  public func with(activationType: DType, streamsWeights: Bool = false) -> AscendPlanningBackend {
    AscendPlanningBackend(
      AscendBackend(device: backend.device, activationType: activationType, streamsWeights: streamsWeights),
      memory: memory, journal: journal)
  }

  public var name: String { "ascend" }
  public var base: any Backend { backend }
  public var hasOwnMemory: Bool { true }

  /// Kernels that no operation has noted, those of the last transfers, are the stage's that ends here too.
  public func takeDevicePeak() -> Int {
    backend.device.thread.run { note() }
    return backend.device.takeDryPeak()
  }

  /// The device's group of ranks of which only this one is there, and parts of it.
  /// - Parameters:
  ///   - base: all ranks' processes.
  ///   - parts: some ranks' processes, and which of all they are.
  /// - Throws: `CollectiveError` where HCCL would not do it.
  public func groups(
    _ base: any ProcessGroup, parts: [(group: any ProcessGroup, members: [Int])]
  ) throws(CollectiveError) -> (all: any ProcessGroup, parts: [any ProcessGroup]) {
    let all = try HCCLProcessGroup(base, device: backend.device)
    return (all, parts.map { HCCLProcessGroup(splitting: all, to: $0.group, members: $0.members) })
  }

  public func forwarding<Result>(_ operation: () throws(BackendError) -> Result) throws(BackendError) -> Result {
    try noted(operation)
  }

  /// Does an operation and writes its kernels down.
  private func noted<Result>(_ body: () throws(BackendError) -> Result) throws(BackendError) -> Result {
    try backend.device.perform { () throws(BackendError) in
      let result = try body()
      note()
      return result
    }
  }

  /// Writes down what has been put on the stream since the last time. On the device's thread.
  private func note() {
    for kernel in backend.device.takeDryKernels() {
      var work = OperationTotals()
      work.calls = 1
      work.operations = kernel.operations
      work.bytesRead = Double(kernel.bytesRead)
      work.bytesWritten = Double(kernel.bytesWritten)
      let operation = PlannedOperation(
        .kernel, [Int(kernel.operations), kernel.bytesRead + kernel.bytesWritten], format: kernel.name)
      journal.add(operation, work * Double(kernel.calls), calls: kernel.calls)
    }
  }
}

// MARK: Moving data

extension AscendPlanningBackend {
  /// What comes back is of the plan's memory.
  public func download(_ tensor: Tensor) throws(BackendError) -> Tensor {
    if tensor.deviceStorage == nil {
      return tensor.dtype == .float32 && tensor.isContiguous ? tensor : memory.tensor(tensor.shape)
    }
    try noted { () throws(BackendError) in _ = try backend.download(tensor) }
    return memory.tensor(tensor.shape)
  }

  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    let adopted = try noted { () throws(BackendError) in try backend.adopt(weight) }
    // What is copied now passes through the host's memory.
    if adopted.tensor.deviceStorage != nil {
      memory.use(weight)
      memory.release(weight)
    }
    return adopted
  }

}

// MARK: Operations that give numbers

extension AscendPlanningBackend {
  /// One, or for differences what the journal assumes: there are no numbers.
  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    _ = try noted { () throws(BackendError) in try backend.absoluteSum(x, minus: y) }
    return y == nil ? 1 : journal.assumedChange
  }

  /// Yes, since there are no numbers.
  public func isFinite(_ x: Tensor) throws(BackendError) -> Bool {
    _ = try noted { () throws(BackendError) in try backend.isFinite(x) }
    return true
  }
}
