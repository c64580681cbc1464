import Collectives
import Layers
import TensorCore
import TensorOps

/// Attention of a Ulysses group's queries over the tokens of all groups, whose keys and values pass round a ring.
///
/// A rank has its own keys and values, those that it attends and passes on, and those on their way to it.
struct RingAttention {
  let messages: TensorMessages
  let plan: AttentionShards
  let scale: Float
  let mask: AttentionMask

  /// - Parameters:
  ///   - pieces: of the ranks of this Ulysses group, with this rank's heads; keys and values are dropped when they have been
  ///     attended.
  ///   - part: the group of heads.
  /// - Returns: for each piece, results of its tensors of queries.
  func attend(_ pieces: inout [TokenPiece], part: Int) throws(BackendError) -> [(rank: Int, values: [Tensor])] {
    if plan.ownHeads(group: part).isEmpty { return pieces.map { ($0.rank, $0.queries) } }
    let queries = pieces.flatMap(\.queries).filter { $0.count > 0 }
    var sum: [AttentionOutput] = []
    var keyValues = pieces.flatMap(\.keyValues)
    var chunk = try plan.layout.ring == 1 ? [] : outgoing(pieces)
    for index in pieces.indices { pieces[index].keyValues = [] }
    for turn in 0..<plan.layout.ring {
      let isLast = turn == plan.layout.ring - 1
      let next = isLast ? nil : try startRotation(chunk, turn: turn, part: part)
      chunk = []
      try add(keyValues.filter { $0.key.count > 0 }, of: queries, to: &sum)
      keyValues = []
      if let next {
        chunk = try communicating { () throws(CollectiveError) in try next.wait() }
        for pair in 0..<chunk.count / 2 {
          keyValues.append(
            KeyValue(key: try messages.arrived(chunk[2 * pair]), value: try messages.arrived(chunk[2 * pair + 1])))
        }
      }
    }
    var results = sum.map(\.values)[...]
    return pieces.map { piece in
      (piece.rank, piece.queries.map { query in query.count > 0 ? results.popFirst() ?? query : query })
    }
  }

  /// The keys and values of some ranks' tokens as they are sent: one key and one value for each rank.
  private func outgoing(_ pieces: [TokenPiece]) throws(BackendError) -> [Tensor] {
    var chunk: [Tensor] = []
    for piece in pieces {
      chunk.append(try messages.outgoing(piece.keyValues.map(\.key)))
      chunk.append(try messages.outgoing(piece.keyValues.map(\.value)))
    }
    return chunk
  }

  /// Starts passing a chunk on and receiving the next.
  private func startRotation(_ chunk: [Tensor], turn: Int, part: Int) throws(BackendError) -> any PendingTransfer {
    let receiving = plan.owners(turn: turn + 1).flatMap { owner in
      let message = messages.incoming(plan.arrivingShape(rank: owner, group: part), from: plan.previousInRing)
      return [message, message]
    }
    return try messages.start(chunk.map { OutgoingMessage($0, to: plan.nextInRing) }, receiving, .messages)
  }

  /// Adds the attention over some keys and values to what is there.
  private func add(
    _ keyValues: [KeyValue], of queries: [Tensor], to sum: inout [AttentionOutput]
  ) throws(BackendError) {
    if keyValues.isEmpty || queries.isEmpty { return }
    let backend = messages.backend
    let partial = try backend.attention(
      queries: queries, keyValues: keyValues, scale: scale, mask: mask, logSumExp: plan.layout.ring > 1)
    if sum.isEmpty {
      sum = partial
    } else {
      for (index, output) in partial.enumerated() { sum[index] = try backend.merged(sum[index], output) }
    }
  }
}
