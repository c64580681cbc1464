import CAscend
import Collectives
import TensorCore
import TensorOps

/// The messages of one transfer that go between devices.
struct DeviceMessages {
  let sending: [OutgoingMessage]
  let receiving: [IncomingMessage]
  let rank: Int
  /// Ranks of the group as ranks of its communicator.
  let places: [Int]
  let pattern: TransferPattern

  /// The type of all elements.
  private func elementType() throws(CollectiveError) -> (DType, HcclDataType) {
    let types = Set(sending.map(\.tensor.dtype) + receiving.map(\.dtype))
    guard let type = types.first, types.count == 1, let number = type.collectiveType else {
      throw CollectiveError(
        operation: "transfer between devices",
        reason: "expected elements of one type that HCCL has, found \(types.map(\.rawValue).sorted())")
    }
    return (type, number)
  }

  /// What is sent to each rank of the communicator, this one left out.
  private var outgoing: [[Tensor]] {
    var parts = [[Tensor]](repeating: [], count: places.count)
    for message in sending where message.destination != rank {
      parts[places[message.destination]].append(message.tensor)
    }
    return parts
  }

  /// What comes from each rank of the communicator, this one left out.
  private var incoming: [[Shape]] {
    var parts = [[Shape]](repeating: [], count: places.count)
    for message in receiving where message.source != rank { parts[places[message.source]].append(message.shape) }
    return parts
  }

  /// Whether every rank sends one tensor of the same size.
  private var isEvenGather: Bool {
    guard pattern == .allGather, let count = receiving.first?.shape.count, count > 0 else { return false }
    return receiving.count == places.count && receiving.allSatisfy { $0.shape.count == count }
  }

  /// Starts the transfer. On the device's thread.
  func start(_ communicator: Communicator) throws(CollectiveError) -> DeviceTransfer {
    let (type, number) = try elementType()
    let device = communicator.device
    if pattern == .broadcast { return try startBroadcast(communicator, type, number) }
    let received: [[Tensor]]
    let sent: MessageRun
    let room: MessageRun
    let started: Communicator.Started?
    if isEvenGather {
      let tensor = sending[0].tensor
      sent = try communicating("HcclAllGather") { () throws(BackendError) in
        try MessageRun(sending: [[tensor]], type, on: device)
      }
      // In the communicator's order, this rank's own place included.
      var shapes = [Shape](repeating: [0], count: places.count)
      for message in receiving { shapes[places[message.source]] = message.shape }
      (room, received) = try communicating("HcclAllGather") { () throws(BackendError) in
        try MessageRun.receiving(shapes.map { [$0] }, type, on: device)
      }
      started = try communicator.start("HcclAllGather", copies: sent.copies) { functions, handle, stream in
        functions.allGather(sent.address, room.address, UInt64(tensor.count), number, handle, stream)
      }
    } else {
      sent = try communicating("messages to other devices") { () throws(BackendError) in
        if pattern == .allGather, let tensor = sending.first?.tensor {
          try MessageRun(repeating: tensor, parts: outgoing.map { !$0.isEmpty }, on: device)
        } else {
          try MessageRun(sending: outgoing, type, on: device)
        }
      }
      (room, received) = try communicating("messages from other devices") { () throws(BackendError) in
        try MessageRun.receiving(incoming, type, on: device)
      }
      started =
        pattern == .messages
        ? try startExchange(communicator, sent, room, type.byteCount, number)
        : try startAllToAll(communicator, sent, room, number)
    }
    var queues = received.map { $0[...] }
    var own = SelfMessages(sending, rank: rank)
    let tensors = receiving.map { message in
      if message.source == rank { return own.next(message) }
      guard let tensor = queues[places[message.source]].popFirst() else {
        preconditionFailure("transfer: no room for \(message)")
      }
      return tensor
    }
    return DeviceTransfer(
      communicator: communicator, started: started, tensors: tensors, underWay: sent.owners + room.owners)
  }

  /// The root sends its tensor from where it is; on the others it has a place of its own.
  private func startBroadcast(
    _ communicator: Communicator, _ dtype: DType, _ type: HcclDataType
  ) throws(CollectiveError) -> DeviceTransfer {
    precondition(receiving.count == 1, "broadcast: \(receiving.count) tensors are wanted")
    let message = receiving[0]
    let root = UInt32(places[message.source])
    let tensor: Tensor
    if message.source == rank {
      var own = SelfMessages(sending, rank: rank)
      tensor = own.next(message)
    } else {
      tensor = try communicating("HcclBroadcast") { () throws(BackendError) in
        try communicator.device.tensor(message.shape, dtype, for: "a message from another device")
      }
    }
    guard let address = tensor.deviceStart else { preconditionFailure("broadcast: \(tensor) is not on the device") }
    var started: Communicator.Started?
    if tensor.count > 0 {
      started = try communicator.start("HcclBroadcast", copies: []) { functions, handle, stream in
        functions.broadcast(address, UInt64(tensor.count), type, root, handle, stream)
      }
    }
    return DeviceTransfer(communicator: communicator, started: started, tensors: [tensor], underWay: [])
  }

  private func startAllToAll(
    _ communicator: Communicator, _ sent: MessageRun, _ room: MessageRun, _ type: HcclDataType
  ) throws(CollectiveError) -> Communicator.Started {
    let (sendCounts, sendStarts) = (sent.counts.map(UInt64.init), sent.starts.map(UInt64.init))
    let (roomCounts, roomStarts) = (room.counts.map(UInt64.init), room.starts.map(UInt64.init))
    return try communicator.start("HcclAlltoAllV", copies: sent.copies) { functions, handle, stream in
      functions.allToAll(
        sent.address, sendCounts, sendStarts, type, room.address, roomCounts, roomStarts, type, handle, stream)
    }
  }

  private func startExchange(
    _ communicator: Communicator, _ sent: MessageRun, _ room: MessageRun, _ elementSize: Int, _ type: HcclDataType
  ) throws(CollectiveError) -> Communicator.Started? {
    func items(_ run: MessageRun, _ kind: HcclSendRecvType) -> [HcclSendRecvItem] {
      run.counts.indices.filter { run.counts[$0] > 0 }.map { peer in
        HcclSendRecvItem(
          sendRecvType: kind, buf: run.address + run.starts[peer] * elementSize, count: UInt64(run.counts[peer]),
          dataType: type, remoteRank: UInt32(peer))
      }
    }
    var all = items(sent, HCCL_SEND) + items(room, HCCL_RECV)
    if all.isEmpty { return nil }
    return try communicator.start("HcclBatchSendRecv", copies: sent.copies) { functions, handle, stream in
      functions.exchange(&all, UInt32(all.count), handle, stream)
    }
  }
}

/// Messages between devices that are under way, and the memory that they are read from and written to.
final class DeviceTransfer: @unchecked Sendable {
  // Sendable: mutable state is confined to the device's thread.
  private let communicator: Communicator
  private var started: Communicator.Started?
  private var tensors: [Tensor]
  /// Given back when the device's stream comes after the transfer: whoever takes the memory then comes after it too.
  private var underWay: [Tensor]

  init(communicator: Communicator, started: Communicator.Started?, tensors: [Tensor], underWay: [Tensor]) {
    (self.communicator, self.started, self.tensors, self.underWay) = (communicator, started, tensors, underWay)
  }

  /// Where nobody waited, because something else failed, memory must outlive the transfer all the same.
  deinit {
    guard let started else { return }
    let rest = Transferred((started, underWay + tensors))
    communicator.device.thread.run { [communicator] in
      withExtendedLifetime(rest.value.1) { try? communicator.finish(rest.value.0) }
    }
  }

  /// Lets the device's stream wait; the host does not.
  func wait() throws(CollectiveError) -> [Tensor] {
    try communicator.device.thread.run { () throws(CollectiveError) in
      let passed = started
      started = nil
      if let passed { try communicator.finish(passed) }
      defer { (underWay, tensors) = ([], []) }
      return tensors
    }
  }
}
