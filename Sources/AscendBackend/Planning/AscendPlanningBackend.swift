public import Collectives
public import TensorCore
public import TensorOps

/// What a run on an NPU needs: the operations of `AscendBackend` themselves, on an emulated device that checks every call and
/// books every allocation but computes nothing.
public final class AscendPlanningBackend: PlanningBackend {
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
  public var activationType: DType { backend.activationType }
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
  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.upload(tensor) }
  }

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

  public func synchronize() throws(BackendError) { try backend.synchronize() }
  public func trim() { backend.trim() }
}

// MARK: Operations

extension AscendPlanningBackend {
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in
      try backend.linear(inputs, weight: weight, bias: bias, activation: activation)
    }
  }

  public func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.embedding(ids, table: table) }
  }

  public func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in
      try backend.layerNorm(x, weight: weight, bias: bias, scale: scale, shift: shift, epsilon: epsilon)
    }
  }

  public func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.rmsNorm(x, weight: weight, epsilon: epsilon) }
  }

  public func headNorm(
    _ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?
  ) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in
      try backend.headNorm(x, weight: weight, epsilon: epsilon, rotary: rotary)
    }
  }

  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in
      try backend.groupNorm(
        x, groups: groups, weight: weight, bias: bias, epsilon: epsilon, activation: activation)
    }
  }

  public func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] {
    try noted { () throws(BackendError) in
      try backend.attention(
        queries: queries, keyValues: keyValues, scale: scale, mask: mask, logSumExp: logSumExp)
    }
  }

  public func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    try noted { () throws(BackendError) in try backend.merged(a, b) }
  }

  public func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in
      try backend.causalConvolution(x, weight: weight, bias: bias, upsampling: upsampling, residual: residual)
    }
  }

  public func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.activate(x, activation) }
  }

  public func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.gatedSiLU(gate: gate, x) }
  }

  public func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.residual(x, gate: gate, y) }
  }

  public func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.combination(a, x, b, y) }
  }

  public func contiguous(_ x: Tensor) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.contiguous(x) }
  }

  public func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.concatenate(tensors, axis: axis) }
  }

  public func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor {
    try noted { () throws(BackendError) in try backend.meanOverTokens(x) }
  }

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
