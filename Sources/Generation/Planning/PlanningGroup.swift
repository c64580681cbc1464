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

  /// The groups of one rank of a layout.
  static func sequence(
    _ layout: RankLayout, rank: Int, in memory: PlanningMemory, sent: CommunicationMeter
  ) -> SequenceGroup {
    if layout.ranks == 1 { return SequenceGroup() }
    return SequenceGroup(
      layout: layout, all: PlanningGroup(rank: rank, size: layout.ranks, in: memory, sent: sent),
      ulysses: PlanningGroup(rank: layout.ulyssesRank(rank), size: layout.ulysses, in: memory, sent: sent),
      ring: PlanningGroup(rank: layout.ringRank(rank), size: layout.ring, in: memory, sent: sent))
  }

  /// The halves of twice as many ranks, seen by the first of all.
  static func halves(_ ranks: SequenceGroup, in memory: PlanningMemory, sent: CommunicationMeter) -> GuidanceHalves {
    GuidanceHalves(
      half: ranks.all, all: PlanningGroup(rank: 0, size: 2 * ranks.layout.ranks, in: memory, sent: sent),
      pair: PlanningGroup(rank: 0, size: 2, in: memory, sent: sent), branch: .positive)
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

  private struct Arrived: PendingTransfer {
    let tensors: [Tensor]
    func wait() throws(CollectiveError) -> [Tensor] { tensors }
  }

  /// The planned groups of a layout are made by `sequence`; no other has members.
  func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup { self }

  func abort(reason: String, status: Int32) {}
}
