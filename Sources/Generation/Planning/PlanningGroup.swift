import Collectives
import TensorCore
import TensorOps

/// One rank of many, of which only this one is there: what it sends is counted, what it receives is imagined memory.
final class PlanningGroup: ProcessGroup {
  let rank: Int
  let size: Int
  private let memory: PlanningMemory
  private let sent: CommunicationMeter

  init(rank: Int, size: Int, in memory: PlanningMemory, sent: CommunicationMeter) {
    (self.rank, self.size, self.memory, self.sent) = (rank, size, memory, sent)
  }

  /// The groups of the first rank of a setting, and its halves where guidance is split.
  /// - Parameter makeGroups: puts the device's groups over those of the processes; nil where the processes exchange tensors.
  static func groups(
    _ setting: PlanSetting, in memory: PlanningMemory, sent: CommunicationMeter,
    makeGroups: PlanningBackends.DeviceGroups?
  ) throws -> (SequenceGroup, GuidanceHalves?) {
    let layout = setting.layout
    func group(_ size: Int) -> any ProcessGroup { PlanningGroup(rank: 0, size: size, in: memory, sent: sent) }
    // The first rank of all is the first of each part.
    var parts = [
      (group: group(layout.ranks), members: Array(0..<layout.ranks)),
      (group: group(layout.ulysses), members: Array(0..<layout.ulysses)),
      (group: group(layout.ring), members: (0..<layout.ring).map { $0 * layout.ulysses }),
      (group: group(2), members: [0, layout.ranks]),
    ]
    let all = group(setting.ranks)
    var whole = all
    if let makeGroups, setting.ranks > 1 {
      let made = try makeGroups(all, parts)
      whole = made.all
      for index in parts.indices {
        // A part that is the whole needs no communicator of its own.
        parts[index].group = parts[index].members.count == setting.ranks ? made.all : made.parts[index]
      }
    }
    let sequence =
      layout.ranks == 1
      ? SequenceGroup()
      : SequenceGroup(
        layout: layout, all: parts[0].group, ulysses: layout.ring == 1 ? parts[0].group : parts[1].group,
        ring: layout.ulysses == 1 ? parts[0].group : parts[2].group)
    if !setting.splitsGuidance { return (sequence, nil) }
    return (
      sequence, GuidanceHalves(half: sequence.all, all: whole, pair: parts[3].group, branch: .positive)
    )
  }

  var statistics: CommunicationStatistics { sent.statistics }

  func transfer(
    sending: [OutgoingMessage], receiving: [IncomingMessage], pattern: TransferPattern
  ) throws(CollectiveError) -> any PendingTransfer {
    for message in sending where message.destination != rank && message.tensor.count > 0 {
      sent.countMessage(bytes: message.tensor.byteCount)
    }
    var own = sending.filter { $0.destination == rank }.map(\.tensor)[...]
    let received = receiving.map { message -> Tensor in
      if message.source == rank, let tensor = own.popFirst() { return tensor }
      // Numbers that ranks agree on are read at once: the others say what this one says.
      if message.dtype != .float32,
        let same = sending.first(where: { $0.tensor.dtype == message.dtype && $0.tensor.shape == message.shape })
      {
        return same.tensor
      }
      return memory.tensor(message.shape, message.dtype)
    }
    return Arrived(tensors: received)
  }

  /// What all ranks give is imagined, and so is what it comes to.
  func allReduce(_ tensor: Tensor, _ reduction: Reduction) throws(CollectiveError) -> Tensor {
    if size == 1 { return tensor }
    for _ in 1..<size { sent.countMessage(bytes: tensor.byteCount) }
    return memory.tensor(tensor.shape, tensor.dtype)
  }

  private struct Arrived: PendingTransfer {
    let tensors: [Tensor]
    func wait() throws(CollectiveError) -> [Tensor] { tensors }
  }

  /// The planned groups of a layout are made by `sequence`; no other has members.
  func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup { self }

  func abort(reason: String, status: Int32) {}
}
