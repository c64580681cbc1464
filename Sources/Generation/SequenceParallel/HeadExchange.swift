import Collectives
import Layers
import TensorCore
import TensorOps

/// Queries, keys and values of one rank's tokens with some heads: one tensor of both streams, or one for each.
struct TokenPiece {
  /// The rank whose tokens these are.
  let rank: Int
  let queries: [Tensor]
  var keyValues: [KeyValue]
}

/// The exchange of tokens and heads in a Ulysses group.
struct HeadExchange {
  let messages: TensorMessages
  let plan: AttentionShards

  private var others: [Int] { plan.ulyssesGroup.filter { $0 != plan.rank } }

  /// The other ranks of the group, as ranks of the whole, beginning after this one, so that no rank is everybody's first.
  private var targets: [Int] { others.filter { $0 > plan.rank } + others.filter { $0 < plan.rank } }

  /// Starts sending the other ranks' heads of this rank's tokens, and receiving this rank's heads of theirs.
  func start(_ streams: [AttentionInputs], part: Int) throws(BackendError) -> ArrivingTokens {
    let heads = plan.ownHeads(group: part)
    let own = TokenPiece(
      rank: plan.rank, queries: streams.map { $0.query.slice(2, heads) },
      keyValues: streams.map { KeyValue(key: $0.key.slice(2, heads), value: $0.value.slice(2, heads)) })
    var sending: [OutgoingMessage] = []
    for target in targets {
      let place = plan.layout.ulyssesRank(target)
      let heads = plan.heads(place, group: part)
      for tensors in [streams.map(\.query), streams.map(\.key), streams.map(\.value)] {
        sending.append(OutgoingMessage(try messages.outgoing(tensors.map { $0.slice(2, heads) }), to: place))
      }
    }
    let receiving = others.flatMap { source in
      let message = messages.incoming(
        plan.arrivingShape(rank: source, group: part), from: plan.layout.ulyssesRank(source))
      return [message, message, message]
    }
    return ArrivingTokens(
      own: own, others: others, transfer: try messages.start(sending, receiving, .allToAll), messages: messages)
  }

  /// Starts sending results of other ranks' tokens back, and receiving those of this rank's.
  /// - Parameter outputs: by rank of the group, of both streams as one tensor or of each.
  func startReturn(_ outputs: [(rank: Int, values: [Tensor])], part: Int) throws(BackendError) -> ReturningHeads {
    var own: [Tensor] = []
    var sending: [OutgoingMessage] = []
    for (rank, values) in outputs {
      if rank == plan.rank {
        own = values
      } else {
        sending.append(OutgoingMessage(try messages.outgoing(values), to: plan.layout.ulyssesRank(rank)))
      }
    }
    let receiving = others.map { source in
      messages.incoming(plan.returningShape(rank: source, group: part), from: plan.layout.ulyssesRank(source))
    }
    return ReturningHeads(
      own: own, others: others, transfer: try messages.start(sending, receiving, .allToAll), messages: messages,
      plan: plan)
  }
}

/// Tokens on their way to this rank.
struct ArrivingTokens {
  fileprivate let own: TokenPiece
  fileprivate let others: [Int]
  fileprivate let transfer: any PendingTransfer
  fileprivate let messages: TensorMessages

  /// The pieces of all ranks of the group, in order. To be called once.
  func wait() throws(BackendError) -> [TokenPiece] {
    let tensors = try messages.wait(transfer)
    var pieces: [TokenPiece] = []
    for (index, rank) in others.enumerated() {
      let keyValue = KeyValue(key: tensors[3 * index + 1], value: tensors[3 * index + 2])
      pieces.append(TokenPiece(rank: rank, queries: [tensors[3 * index]], keyValues: [keyValue]))
    }
    pieces.append(own)
    return pieces.sorted { $0.rank < $1.rank }
  }
}

/// Results on their way back.
struct ReturningHeads {
  fileprivate let own: [Tensor]
  fileprivate let others: [Int]
  fileprivate let transfer: any PendingTransfer
  fileprivate let messages: TensorMessages
  fileprivate let plan: AttentionShards

  /// This rank's video and text tokens with the heads of each rank of the group, by place in the group. To be called once.
  func wait() throws(BackendError) -> [(ulyssesRank: Int, streams: [Tensor])] {
    let tensors = try messages.wait(transfer)
    let video = plan.videoTokens(plan.rank)
    var result = [(ulyssesRank: plan.ulyssesRank, streams: own)]
    for (rank, both) in zip(others, tensors) {
      result.append(
        (plan.layout.ulyssesRank(rank), [both.slice(1, 0..<video), both.slice(1, video..<both.shape[1])]))
    }
    return result
  }
}
