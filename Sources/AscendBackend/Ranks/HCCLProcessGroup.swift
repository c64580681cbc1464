import CAscend
public import Collectives
import Synchronization
public import TensorCore

/// Ranks that each compute on an NPU: tensors of the device go from device to device by HCCL, on a stream of their own beside the
/// one that computes; everything else, by which ranks agree, goes by the group of their processes.
///
/// Messages of a transfer that all ranks take part in become one `HcclAlltoAllV`, or `HcclAllGather` where all ranks send equally
/// much; one rank's tensor for all `HcclBroadcast`; others one `HcclBatchSendRecv`, which takes one piece of memory for each rank
/// and direction. Reductions are `HcclAllReduce`.
public final class HCCLProcessGroup: ProcessGroup {
  public var rank: Int { base.rank }
  public var size: Int { base.size }
  private let base: any ProcessGroup
  private let device: AscendDevice
  private let world: World
  /// Ranks of this group as ranks of all.
  private let members: [Int]
  /// The ranks of this group as its communicator has them, which orders them by their ranks of all.
  private let places: [Int]
  private let meter: CommunicationMeter
  /// The number that this group has among those that were split off.
  private let number: UInt64
  /// Made for the first transfer: a group that sends nothing between devices costs no memory of theirs.
  private let communicator: Mutex<Communicator?>

  /// What the groups of a run have in common.
  private struct World: Sendable {
    let communicator: Communicator
    let splits: Splits
  }

  /// How many groups were split off: the same on all ranks, which all split alike.
  private final class Splits: Sendable {
    private let count = Mutex<UInt64>(0)

    func next() -> UInt64 {
      count.withLock {
        $0 += 1
        return $0
      }
    }
  }

  /// Joins the devices of all ranks. All ranks call this, each with a device of its own.
  /// - Throws: `CollectiveError` where HCCL is missing or the devices do not reach each other.
  public init(_ base: any ProcessGroup, device: AscendDevice) throws(CollectiveError) {
    let functions = try communicating("start of HCCL") { () throws(AscendError) in try HCCLFunctions(device.libraries) }
    let made =
      base.rank == 0
      ? try device.thread.run { () throws(CollectiveError) in
        try Communicator.rootInformation(device, functions)
      } : []
    let information = try base.broadcast(made, from: 0)
    let meter = CommunicationMeter()
    let communicator = try device.thread.run { () throws(CollectiveError) in
      try Communicator(device, functions, rank: base.rank, of: base.size, rootInformation: information, meter: meter)
    }
    (self.base, self.device, self.meter) = (base, device, meter)
    world = World(communicator: communicator, splits: Splits())
    members = Array(0..<base.size)
    places = members
    number = 0
    self.communicator = Mutex(communicator)
    try rollCall()
  }

  /// - Parameter members: the ranks of the part as ranks of all.
  init(splitting whole: HCCLProcessGroup, to base: any ProcessGroup, members: [Int]) {
    (self.base, device, world, meter) = (base, whole.device, whole.world, whole.meter)
    self.members = members
    let order = members.sorted()
    places = members.map { member in order.firstIndex(of: member) ?? 0 }
    // Groups that one split makes have no member in common, and so no first one.
    number = world.splits.next() << 16 | UInt64(order[0])
    communicator = Mutex(nil)
  }

  public var takesDeviceTensors: Bool { true }

  public var statistics: CommunicationStatistics { base.statistics.joined(with: meter.statistics) }

  public func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup {
    let part = try base.subgroup(color: color, key: key)
    let mine = withUnsafeBytes(of: UInt64(members[rank]).littleEndian) { Array($0) }
    let ranks = try part.allGather(mine).map { bytes in bytes.reversed().reduce(0) { $0 << 8 | Int($1) } }
    return HCCLProcessGroup(splitting: self, to: part, members: ranks)
  }

  public func abort(reason: String, status: Int32) { base.abort(reason: reason, status: status) }

  public func transfer(
    sending: [OutgoingMessage], receiving: [IncomingMessage], pattern: TransferPattern
  ) throws(CollectiveError) -> any PendingTransfer {
    let outgoing = sending.filter { $0.tensor.deviceStorage != nil }
    let incoming = receiving.filter { $0.place == .device }
    if outgoing.isEmpty && incoming.isEmpty {
      return try base.transfer(sending: sending, receiving: receiving, pattern: pattern)
    }
    // Whoever wants on the host what others send from their devices waits for ever. What a rank sends itself tells it.
    guard outgoing.count(where: { $0.destination == rank }) == incoming.count(where: { $0.source == rank }) else {
      throw CollectiveError(
        operation: "transfer between devices",
        reason: "expected messages in the same place for sender and receiver, found one in the device's memory that is "
          + "wanted in the host's, or the reverse; say where messages are wanted (MessagePlace)")
    }
    let hostReceiving = receiving.filter { $0.place == .host }
    var host: (any PendingTransfer)?
    if !hostReceiving.isEmpty || outgoing.count < sending.count {
      host = try base.transfer(
        sending: sending.filter { $0.tensor.deviceStorage == nil }, receiving: hostReceiving, pattern: pattern)
    }
    for message in outgoing where message.destination != rank && message.tensor.count > 0 {
      meter.countMessage(bytes: message.tensor.byteCount)
    }
    let messages = DeviceMessages(
      sending: outgoing, receiving: incoming, rank: rank, places: places, pattern: pattern)
    let transfer = try device.thread.run { () throws(CollectiveError) in
      try messages.start(try ownCommunicator())
    }
    return HCCLTransfer(device: transfer, host: host, places: receiving.map(\.place))
  }

  public func allReduce(_ tensor: Tensor, _ reduction: Reduction) throws(CollectiveError) -> Tensor {
    if size == 1 { return tensor }
    if tensor.deviceStorage == nil { return try base.allReduce(tensor, reduction) }
    for _ in 1..<size where tensor.count > 0 { meter.countMessage(bytes: tensor.byteCount) }
    return try device.thread.run { () throws(CollectiveError) in
      try ownCommunicator().allReduce(tensor, reduction)
    }
  }

  /// Lets the devices count each other. HCCL makes its links for the first operation: what keeps devices from reaching each other
  /// shows now, not when weights have been loaded for minutes. Integers, so that every rank has the same sum whatever its order.
  private func rollCall() throws(CollectiveError) {
    if size == 1 { return }
    let counts = try device.thread.run { () throws(CollectiveError) in
      try ownCommunicator().rollCall(rank: rank, of: size)
    }
    if counts.allSatisfy({ $0 == 1 }) { return }
    throw CollectiveError(
      operation: "roll call of the devices",
      reason: "expected every rank once in the sum of all ranks' devices (HcclAllReduce), found \(counts); "
        + "see what mpirun -n \(size) hyvideo bench --device ascend --conformance finds")
  }

  /// On the device's thread.
  private func ownCommunicator() throws(CollectiveError) -> Communicator {
    let known = communicator.withLock { $0 }
    if let known { return known }
    let made = try Communicator(
      partOf: world.communicator, members: members.sorted(), rank: places[rank], number: number)
    communicator.withLock { $0 = made }
    return made
  }
}

/// Messages between devices and, beside them, between hosts.
private struct HCCLTransfer: PendingTransfer {
  let device: DeviceTransfer
  let host: (any PendingTransfer)?
  let places: [MessagePlace]

  func wait() throws(CollectiveError) -> [Tensor] {
    var onHost = try host?.wait()[...] ?? []
    var onDevice = try device.wait()[...]
    return places.compactMap { $0 == .host ? onHost.popFirst() : onDevice.popFirst() }
  }
}
