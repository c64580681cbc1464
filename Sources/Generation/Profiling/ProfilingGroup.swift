public import Collectives
public import TensorCore

/// Records the transfers of a rank, and how long it waited for them.
public struct ProfilingGroup: ProcessGroup {
  private let base: any ProcessGroup
  private let profiler: Profiler

  public init(_ base: any ProcessGroup, recordingTo profiler: Profiler) {
    self.base = base
    self.profiler = profiler
  }

  public var rank: Int { base.rank }
  public var size: Int { base.size }
  public var statistics: CommunicationStatistics { base.statistics }
  public var takesDeviceTensors: Bool { base.takesDeviceTensors }

  public func transfer(
    sending: [OutgoingMessage], receiving: [IncomingMessage], pattern: TransferPattern
  ) throws(CollectiveError) -> any PendingTransfer {
    let start = Profiler.now
    let pending = try base.transfer(sending: sending, receiving: receiving, pattern: pattern)
    // What stays here is handed over.
    let sent = sending.filter { $0.destination != rank }.reduce(0) { $0 + $1.tensor.byteCount }
    let received = receiving.filter { $0.source != rank }
      .reduce(0) { $0 + $1.shape.count * $1.dtype.byteCount }
    if sent + received == 0 { return pending }
    return Recorded(base: pending, start: start, bytes: Double(sent + received), profiler: profiler)
  }

  public func allReduce(_ tensor: Tensor, _ reduction: Reduction) throws(CollectiveError) -> Tensor {
    let start = ProfileMoment(time: Profiler.now)
    let result = try base.allReduce(tensor, reduction)
    let bytes = Double(2 * (size - 1) * tensor.byteCount)
    if bytes > 0 {
      profiler.record(.communication, .wait, since: start, bytes: bytes)
      profiler.record(ProfileTransfer(start: start.time, end: Profiler.now, bytes: bytes))
    }
    return result
  }

  public func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup {
    ProfilingGroup(try base.subgroup(color: color, key: key), recordingTo: profiler)
  }

  public func abort(reason: String, status: Int32) { base.abort(reason: reason, status: status) }

  private struct Recorded: PendingTransfer {
    let base: any PendingTransfer
    let start: Int64
    let bytes: Double
    let profiler: Profiler

    func wait() throws(CollectiveError) -> [Tensor] {
      let entered = ProfileMoment(time: Profiler.now)
      let tensors = try base.wait()
      profiler.record(.communication, .wait, since: entered, bytes: bytes)
      profiler.record(ProfileTransfer(start: start, end: Profiler.now, bytes: bytes))
      return tensors
    }
  }
}
