import CAscend
import TensorCore
import TensorOps

/// One NPU: its thread, its stream, its memory. All calls of CANN for it happen on the thread.
public final class AscendDevice: @unchecked Sendable {
  // Sendable: mutable state is confined to the thread.
  let libraries: CANNLibraries
  let functions: RuntimeFunctions
  let thread = DeviceThread()
  /// The device's number.
  public let index: Int
  /// The name of the chip, as CANN has it.
  public let chip: String

  /// Brings weights; nil until one is streamed.
  private(set) var weightCopies: WeightCopies?

  private struct State {
    let stream: aclrtStream
    let pool: MemoryPool
    let staging: Staging
    var workspace: MemoryPool.Block?
  }

  private var state: State?
  /// Of a device that computes nothing.
  private let dryRun: DryRun?
  private let process: CANNProcess?
  private var watches: [ObjectIdentifier: () throws(BackendError) -> Void] = [:]

  /// How a device takes its memory.
  public enum Memory: Sendable {
    /// In segments that are divided among tensors.
    case pooled
    /// Tensor by tensor, for tests: every use after the end of a tensor is then an error of the device.
    case direct
  }

  /// Opens a device.
  /// - Throws: `AscendError` where CANN is too old, has no such device or refuses.
  public convenience init(index: Int, libraries: CANNLibraries, memory: Memory = .pooled) throws(AscendError) {
    try self.init(index: index, libraries: libraries, memory: memory, dryRun: nil)
  }

  /// Opens a device that checks every call and books its memory, but computes nothing.
  /// - Parameter byteCount: its memory.
  convenience init(dryRunIn libraries: CANNLibraries, byteCount: Int) throws(AscendError) {
    let dryRun = try DryRun(libraries, byteCount: byteCount)
    try self.init(index: 0, libraries: libraries, memory: .pooled, dryRun: dryRun)
  }

  private init(index: Int, libraries: CANNLibraries, memory: Memory, dryRun: DryRun?) throws(AscendError) {
    let functions = try RuntimeFunctions(libraries)
    self.dryRun = dryRun
    self.libraries = libraries
    self.functions = functions
    self.index = index
    let (chip, opened) = try thread.run { () throws(AscendError) in
      dryRun?.open()
      do throws(AscendError) { return try AscendDevice.open(index, functions, isDry: dryRun != nil) } catch {
        dryRun?.close()
        throw error
      }
    }
    let (stream, staging) = (opened.value.stream, opened.value.staging)
    self.chip = chip
    process = dryRun == nil ? CANNProcess.openingDevice(functions) : nil
    let policy: MemoryPool.Policy =
      memory == .pooled ? .segments(byteCount: MemoryPool.segmentSize(ofDeviceWith: opened.value.byteCount)) : .direct
    let pool = MemoryPool(functions: functions, policy: policy) {
      // A failure shows again at the next call that can report it.
      _ = functions.synchronize(stream.value)
    }
    state = State(stream: stream.value, pool: pool, staging: staging)
  }

  /// What is made when a device is opened, and its memory.
  private typealias Opened = (stream: Transferred<aclrtStream>, staging: Staging, byteCount: Int)

  /// Sets a device on the calling thread; where something fails, all is given back.
  private static func open(
    _ index: Int, _ functions: RuntimeFunctions, isDry: Bool
  ) throws(AscendError) -> (chip: String, Transferred<Opened>) {
    // A dry run's devices belong to the thread, and end with it.
    if isDry { try functions.check(functions.initialize(nil), "aclInit") } else { try CANNProcess.start(functions) }
    let count = try knownCount(functions)
    if !(0..<count).contains(index) { throw .noSuchDevice(index: index, count: count) }
    try functions.check(functions.setDevice(Int32(index)), "aclrtSetDevice")
    let chip = functions.socName().map { String(cString: $0) } ?? "unknown"
    do throws(AscendError) {
      var (free, total) = (0, 0)
      try functions.check(functions.memoryInfo(ACL_HBM_MEM, &free, &total), "aclrtGetMemInfo")
      let (stream, staging) = try Staging.withStream(functions, isDry: isDry)
      return (chip, Transferred((Transferred(stream), staging, total)))
    } catch {
      _ = functions.resetDevice(Int32(index))
      throw error
    }
  }

  deinit {
    thread.run {
      guard let state else { return }
      _ = functions.synchronize(state.stream)
      weightCopies?.close()
      if let workspace = state.workspace { state.pool.free(workspace) }
      state.pool.trim()
      state.staging.close()
      _ = functions.destroyStream(state.stream)
      _ = functions.resetDevice(Int32(index))
      dryRun?.close()
      process?.deviceDidClose()
    }
  }

  /// A stream, on the calling thread's device.
  static func makeStream(_ functions: RuntimeFunctions) throws(AscendError) -> aclrtStream {
    var created: aclrtStream?
    let flags = UInt32(CASCEND_STREAM_FAST_LAUNCH | CASCEND_STREAM_FAST_SYNC)
    try functions.check(functions.createStream(&created, 0, flags), "aclrtCreateStreamWithConfig")
    guard let created else {
      throw .callFailed(function: "aclrtCreateStreamWithConfig", status: 0, message: "no stream")
    }
    return created
  }

  /// An event that streams can wait for, on the calling thread's device.
  /// - Parameter isTimed: whether the device notes when it passes it.
  static func makeEvent(_ functions: RuntimeFunctions, isTimed: Bool = false) throws(AscendError) -> aclrtEvent {
    var created: aclrtEvent?
    let flags = UInt32(CASCEND_EVENT_SYNC | (isTimed ? CASCEND_EVENT_TIME_LINE : 0))
    try functions.check(functions.createEvent(&created, flags), "aclrtCreateEventExWithFlag")
    guard let created else {
      throw .callFailed(function: "aclrtCreateEventExWithFlag", status: 0, message: "no event")
    }
    return created
  }

  /// Starts CANN and counts the devices, on the calling thread.
  static func count(_ functions: RuntimeFunctions) throws(AscendError) -> Int {
    try CANNProcess.start(functions)
    return try knownCount(functions)
  }

  private static func knownCount(_ functions: RuntimeFunctions) throws(AscendError) -> Int {
    var count: UInt32 = 0
    try functions.check(functions.deviceCount(&count), "aclrtGetDeviceCount")
    return Int(count)
  }

  /// Device memory that tensors use and have used at most, and that the pool has taken from the device.
  public var memoryUse: (bytesInUse: Int, peakBytesInUse: Int, bytesReserved: Int) {
    thread.run {
      state.map { ($0.pool.bytesInUse, $0.pool.peakBytesInUse, $0.pool.bytesReserved) } ?? (0, 0, 0)
    }
  }

  /// Gives memory that no tensor uses back to the device.
  func trim() { thread.run { state?.pool.trim() } }

  /// Lets the peak of memory in use begin again with what is in use now.
  public func resetMemoryPeak() { thread.run { state?.pool.resetPeak() } }

  // MARK: On the device's thread

  /// Waits for everything on the stream.
  func synchronize(_ operation: String) throws(BackendError) {
    guard let stream = state?.stream else { return }
    try reporting(operation) { () throws(AscendError) in
      try functions.check(functions.synchronize(stream), "aclrtSynchronizeStream")
    }
    for check in watches.values { try check() }
  }

  /// The stream that all operations are on.
  var stream: aclrtStream? { state?.stream }

  /// Memory with undefined contents.
  func allocate(byteCount: Int, for operation: String) throws(BackendError) -> MemoryPool.Block {
    guard let pool = state?.pool else { preconditionFailure("Ascend device: used while it is being made") }
    return try pool.allocate(byteCount: byteCount, for: operation)
  }

  /// Gives memory back that only work on the stream so far uses.
  func freeNow(_ block: MemoryPool.Block) { state?.pool.free(block) }

  /// What brings weights to the device, begun when it is first asked for.
  func openWeightCopies() throws(AscendError) -> WeightCopies {
    if let weightCopies { return weightCopies }
    let copies = try WeightCopies(index: index, functions: functions)
    weightCopies = copies
    return copies
  }

  /// A dense tensor with undefined contents.
  func tensor(_ shape: Shape, _ dtype: DType, for operation: String) throws(BackendError) -> Tensor {
    let byteCount = shape.count * dtype.byteCount
    let block = try allocate(byteCount: byteCount, for: operation)
    return Tensor(
      shape: shape, dtype: dtype, storage: DeviceStorage(device: self, byteCount: byteCount, block: block))
  }

  /// Memory for an operator's own use, until the next operator: one block per stream, which only grows.
  func workspace(byteCount: Int, for operation: String) throws(BackendError) -> UnsafeMutableRawPointer? {
    if byteCount == 0 { return nil }
    if let block = state?.workspace, block.byteCount >= byteCount { return block.address }
    // The old block first: it may be what the new one needs. Operators that still use it precede on the stream.
    if let block = state?.workspace {
      state?.workspace = nil
      state?.pool.free(block)
    }
    let block = try state?.pool.allocate(byteCount: byteCount, for: "the workspace of \(operation)")
    state?.workspace = block
    return block?.address
  }

  /// Copies dense host memory into a dense device tensor.
  /// - Parameter source: nil where the contents do not matter.
  func copy(_ source: UnsafeRawPointer?, to tensor: Tensor, operation: String) throws(BackendError) {
    guard let target = tensor.deviceStorage?.deviceAddress else { return }
    try copy(
      source, to: target + tensor.offset * tensor.dtype.byteCount, byteCount: tensor.byteCount, operation)
  }

  /// Copies host memory to device memory.
  /// - Parameter source: nil where the contents do not matter.
  func copy(
    _ source: UnsafeRawPointer?, to target: UnsafeMutableRawPointer, byteCount: Int, _ operation: String
  ) throws(BackendError) {
    guard let staging = state?.staging else { return }
    try reporting(operation) { () throws(AscendError) in
      try staging.upload(source, to: target, byteCount: byteCount)
    }
  }

  /// Waits for a dense device tensor and copies it to host memory.
  func copy(_ tensor: Tensor, to target: UnsafeMutableRawPointer, operation: String) throws(BackendError) {
    guard let staging = state?.staging, let source = tensor.deviceStorage?.deviceAddress else { return }
    let start = source + tensor.offset * tensor.dtype.byteCount
    try reporting(operation) { () throws(AscendError) in
      try staging.download(start, to: target, byteCount: tensor.byteCount)
    }
    for check in watches.values { try check() }
  }

  /// Lets somebody who put work on another stream say, whenever the host has waited for this one's results, that it failed.
  func watch(_ object: AnyObject, _ check: @escaping () throws(BackendError) -> Void) {
    watches[ObjectIdentifier(object)] = check
  }

  func unwatch(_ object: ObjectIdentifier) { watches[object] = nil }

  /// Says of a failure of the runtime what it was for.
  func reporting(_ operation: String, _ body: () throws(AscendError) -> Void) throws(BackendError) {
    do { try body() } catch {
      guard case .callFailed(let function, let status, let message) = error else {
        throw .libraryFailure(library: "CANN", operation: operation, status: "\(error)")
      }
      throw .libraryFailure(library: "CANN", operation: "\(function) for \(operation)", status: "\(status): \(message)")
    }
  }

  // MARK: Dry runs

  /// Whether contents do not matter: there are none.
  var isDry: Bool { dryRun != nil }

  /// What has been put on the stream since the last time.
  func takeDryKernels() -> [DryKernel] { dryRun?.takeKernels() ?? [] }

  /// The most memory that was taken from the device at a time since the last call.
  func takeDryPeak() -> Int { thread.run { dryRun?.takePeakBytes() ?? 0 } }

  // MARK: From any thread

  /// Runs something on the device's thread and waits for it.
  func perform<Value>(_ body: () throws(BackendError) -> Value) throws(BackendError) -> Value {
    try thread.run(body)
  }

  /// Gives memory back to the pool, after the work that uses it.
  func release(_ block: MemoryPool.Block) {
    thread.post { [self] in state?.pool.free(block) }
  }
}

/// Something that is handed from the device's thread to whoever confines it to that thread again.
struct Transferred<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
