import Collectives
public import Layers
public import TensorCore
public import TensorOps

/// Attention over tokens that are shared out to ranks, video and text alike.
///
/// 1. Within a Ulysses group each rank gives away all heads but its own and gets its own heads of the group's tokens.
/// 2. Round the ring, keys and values of a Ulysses group's tokens pass from group to group; each is attended while the next is
///    on its way, and results are joined by their logarithms. No rank ever holds all keys and values.
/// 3. Results go back the way the queries came.
///
/// Attention does not ask in which order keys come, so a rank sends its video and text tokens as one tensor, and no text is
/// computed or joined twice. Heads are exchanged in groups: while one is attended, the next is on its way here and the one
/// before on its way back. What a rank has itself is neither sent nor copied.
public struct ShardedJointAttention: JointAttention {
  private let group: SequenceGroup

  public init(_ group: SequenceGroup) { self.group = group }

  public func attend(
    video: AttentionInputs, text: AttentionInputs, at site: AttentionSite, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    let plan = AttentionShards(
      group.layout, rank: group.all.rank, videoTokens: site.videoTokens, textTokens: site.textTokens,
      queries: video.query.shape)
    precondition(
      video.query.shape[1] == plan.videoTokens(plan.rank) && text.query.shape[1] == plan.textTokens(plan.rank),
      "sharded attention: rank \(plan.rank) has \(video.query.shape[1]) of \(site.videoTokens) video tokens and "
        + "\(text.query.shape[1]) of \(site.textTokens) text tokens")
    let streams = [video, text]
    let exchange = HeadExchange(messages: TensorMessages(group: group.ulysses, backend: backend), plan: plan)
    let ring = RingAttention(
      messages: TensorMessages(group: group.ring, backend: backend), plan: plan, scale: video.scale,
      mask: site.mask)

    // Results by Ulysses rank: each rank's heads of the two streams, group by group.
    var heads = [[[Tensor]]](repeating: [[], []], count: plan.layout.ulysses)
    func collect(_ returned: ReturningHeads) throws(BackendError) {
      for (rank, parts) in try returned.wait() {
        for (stream, part) in parts.enumerated() where part.shape[2] > 0 { heads[rank][stream].append(part) }
      }
    }
    var arriving = try exchange.start(streams, part: 0)
    var returning: ReturningHeads?
    for part in 0..<plan.headGroupCount {
      var pieces = try arriving.wait()
      if part + 1 < plan.headGroupCount { arriving = try exchange.start(streams, part: part + 1) }
      let outputs = try ring.attend(&pieces, part: part)
      if let returning { try collect(returning) }
      returning = try exchange.startReturn(outputs, part: part)
    }
    if let returning { try collect(returning) }
    return (try joined(heads.flatMap { $0[0] }, on: backend), try joined(heads.flatMap { $0[1] }, on: backend))
  }

  private func joined(_ heads: [Tensor], on backend: any Backend) throws(BackendError) -> Tensor {
    heads.count == 1 ? heads[0] : try backend.concatenate(heads, axis: 2)
  }
}
