import CAscend
import Collectives
import TensorCore
import TensorOps

/// A communicator of HCCL and the stream that its operations are on, apart from the one that computes. Confined to the
/// device's thread, which is where the methods are called.
final class Communicator: @unchecked Sendable {
  // Sendable: mutable state is confined to the device's thread.
  let device: AscendDevice
  let functions: HCCLFunctions
  private let handle: HcclComm
  private let stream: aclrtStream
  /// The communicator of all ranks, which lives as long as its parts.
  private let whole: Communicator?
  private let meter: CommunicationMeter
  /// Events that nobody uses.
  private var events: [aclrtEvent] = []
  /// Transfers that the device's stream has been told to wait for, but that are not counted yet.
  private var uncounted: [TimedTransfer] = []

  /// A transfer that is under way.
  struct Started {
    /// Passed by the communicator's stream before and behind the transfer.
    fileprivate let begin, end: aclrtEvent
  }

  private struct TimedTransfer {
    let started: Started
    /// Passed by the device's stream before and behind its wait.
    let entry, exit: aclrtEvent
    var events: [aclrtEvent] { [started.begin, started.end, entry, exit] }
  }

  /// HCCL cuts longer messages up. It takes this much for what is sent and as much for what is received, for every communicator;
  /// its own choice is 200. The largest exchange of heads of 720 x 1280 x 129 on eight devices is 87 MiB for all ranks.
  static let bufferMegabytes: UInt32 = 100

  private init(
    _ device: AscendDevice, _ functions: HCCLFunctions, whole: Communicator?, handle: HcclComm?,
    meter: CommunicationMeter
  ) throws(CollectiveError) {
    guard let handle else { throw CollectiveError(operation: "start of HCCL", reason: "no communicator was made") }
    (self.device, self.functions, self.whole, self.handle, self.meter) = (device, functions, whole, handle, meter)
    do { stream = try AscendDevice.makeStream(device.functions) } catch {
      _ = functions.destroy(handle)
      throw CollectiveError(operation: "start of HCCL", reason: "\(error)")
    }
    device.watch(self) { [weak self] () throws(BackendError) in
      try self?.checkForFailure()
      self?.countTransfers()
    }
  }

  /// Meets the other ranks; waits for all of them.
  /// - Parameter rootInformation: what one rank has made and all have been given.
  convenience init(
    _ device: AscendDevice, _ functions: HCCLFunctions, rank: Int, of count: Int, rootInformation: [UInt8],
    meter: CommunicationMeter
  ) throws(CollectiveError) {
    var made: HcclComm?
    var configuration = cascend_hccl_configuration(Communicator.bufferMegabytes)
    let status = rootInformation.withUnsafeBytes { bytes in
      functions.join(
        UInt32(count), bytes.baseAddress?.assumingMemoryBound(to: HcclRootInfo.self), UInt32(rank), &configuration,
        &made)
    }
    try functions.check(status, "HcclCommInitRootInfoConfig", device.functions)
    try self.init(device, functions, whole: nil, handle: made, meter: meter)
  }

  /// A part of the communicator of all ranks.
  /// - Parameters:
  ///   - members: ranks of the whole, in ascending order.
  ///   - number: the same on all members, and no other part's.
  convenience init(partOf whole: Communicator, members: [Int], rank: Int, number: UInt64) throws(CollectiveError) {
    var made: HcclComm?
    var configuration = cascend_hccl_configuration(Communicator.bufferMegabytes)
    var parent: HcclComm? = whole.handle
    var ranks = members.map(UInt32.init)
    let status = whole.functions.part(
      &parent, UInt32(ranks.count), &ranks, number, UInt32(rank), &configuration, &made)
    try whole.functions.check(status, "HcclCreateSubCommConfig", whole.device.functions)
    try self.init(whole.device, whole.functions, whole: whole, handle: made, meter: whole.meter)
  }

  deinit {
    let name = ObjectIdentifier(self)
    let events = events + uncounted.flatMap(\.events)
    device.thread.run { [device, functions, handle, stream] in
      device.unwatch(name)
      _ = device.functions.synchronize(stream)
      _ = functions.destroy(handle)
      for event in events { _ = device.functions.destroyEvent(event) }
      _ = device.functions.destroyStream(stream)
    }
  }

  /// Makes what ranks find each other by.
  static func rootInformation(_ device: AscendDevice, _ functions: HCCLFunctions) throws(CollectiveError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(CASCEND_HCCL_ROOT_INFO_BYTES))
    let status = bytes.withUnsafeMutableBytes {
      functions.getRootInformation($0.baseAddress?.assumingMemoryBound(to: HcclRootInfo.self))
    }
    try functions.check(status, "HcclGetRootInfo", device.functions)
    return bytes
  }

  /// An operation that failed on the device does not fail a wait for other streams: whoever waits for the device asks here.
  private func checkForFailure() throws(BackendError) {
    var failure = HCCL_SUCCESS
    let status = functions.asynchronousError(handle, &failure)
    do throws(CollectiveError) {
      try functions.check(status, "HcclGetCommAsyncError", device.functions)
      if failure == HCCL_SUCCESS { return }
      // The stream of the operation knows what happened.
      let stopped = device.functions.synchronize(stream)
      if stopped != 0 { throw CollectiveError(operation: "HCCL", reason: device.functions.message) }
      try functions.check(failure, "a transfer between devices", device.functions)
    } catch {
      throw .communicationFailure(operation: error.operation, reason: error.reason)
    }
  }

  // MARK: Transfers

  /// Puts an operation on the communicator's stream, after all that is on the device's stream now.
  /// - Parameter body: calls HCCL with the communicator and the stream.
  /// - Returns: what is to be given to `finish`.
  func start(
    _ name: String, copies: [DeviceCopy], _ body: (HCCLFunctions, HcclComm, aclrtStream) -> HcclResult
  ) throws(CollectiveError) -> Started {
    let runtime = device.functions
    let started = Started(begin: try takeEvent(), end: try takeEvent())
    do {
      try communicating(name) { () throws(AscendError) in
        // The wait is for this record: the event may be recorded again.
        try runtime.check(runtime.recordEvent(started.end, device.stream), "aclrtRecordEvent")
        try runtime.check(runtime.waitForEvent(stream, started.end), "aclrtStreamWaitEvent")
        try runtime.check(runtime.recordEvent(started.begin, stream), "aclrtRecordEvent")
        for copy in copies {
          try runtime.check(
            runtime.copy(
              copy.target, copy.byteCount, copy.source, copy.byteCount, ACL_MEMCPY_DEVICE_TO_DEVICE, stream),
            "aclrtMemcpyAsync")
        }
      }
      try functions.check(body(functions, handle, stream), name, runtime)
      try communicating(name) { () throws(AscendError) in
        try runtime.check(runtime.recordEvent(started.end, stream), "aclrtRecordEvent")
      }
    } catch {
      // What is on the stream already reads memory that the device's stream would be given again.
      _ = runtime.synchronize(stream)
      events += [started.begin, started.end]
      throw error
    }
    return started
  }

  /// Lets everything that is put on the device's stream from now on come after an operation.
  func finish(_ started: Started) throws(CollectiveError) {
    let runtime = device.functions
    let transfer = TimedTransfer(started: started, entry: try takeEvent(), exit: try takeEvent())
    uncounted.append(transfer)
    try communicating("aclrtStreamWaitEvent") { () throws(AscendError) in
      try runtime.check(runtime.recordEvent(transfer.entry, device.stream), "aclrtRecordEvent")
      try runtime.check(runtime.waitForEvent(device.stream, started.end), "aclrtStreamWaitEvent")
      try runtime.check(runtime.recordEvent(transfer.exit, device.stream), "aclrtRecordEvent")
    }
  }

  /// Counts the times of transfers that the device's stream has passed, by the device's clock. What two communicators transfer at
  /// once counts for both.
  private func countTransfers() {
    for transfer in uncounted {
      var (whole, exposed): (Float, Float) = (0, 0)
      let started = transfer.started
      if device.functions.elapsedTime(&whole, started.begin, started.end) == 0,
        device.functions.elapsedTime(&exposed, transfer.entry, transfer.exit) == 0
      {
        meter.countTransfer(seconds: Double(whole) / 1000, exposedSeconds: Double(exposed) / 1000)
      }
      events += transfer.events
    }
    uncounted = []
  }

  private func takeEvent() throws(CollectiveError) -> aclrtEvent {
    if let known = events.popLast() { return known }
    return try communicating("start of HCCL") { () throws(AscendError) in
      try AscendDevice.makeEvent(device.functions, isTimed: true)
    }
  }
}

/// Dense device memory that is copied within the device.
struct DeviceCopy {
  let source: UnsafeRawPointer
  let target: UnsafeMutableRawPointer
  let byteCount: Int
}
