import Collectives
public import Layers
public import TensorCore
public import TensorOps

/// Attention over tokens that are shared out to ranks.
///
/// 1. Within a Ulysses group each rank gives away all heads but its own and gets its own heads of the group's tokens.
/// 2. Round the ring, keys and values of a Ulysses group's tokens pass from group to group; each is attended while the next is
///    on its way, and results are joined by their logarithms. No rank ever holds all keys and values.
/// 3. Results go back the way the queries came.
///
/// Text is the same on every rank. Its keys and values join once, before the first turn of the ring; its queries are
/// shared out to the ranks, each with its own heads and, where there is a ring, its own tokens. Heads are exchanged in groups, so
/// that one group is on its way while another is attended.
public struct ShardedJointAttention: JointAttention {
  private let group: SequenceGroup
  private let tokenCount: Int

  /// - Parameter tokenCount: video tokens of the sample.
  public init(_ group: SequenceGroup, tokenCount: Int) {
    self.group = group
    self.tokenCount = tokenCount
  }

  public func attend(
    video: AttentionInputs, text: AttentionInputs, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    let plan = AttentionShards(
      group.layout, rank: group.all.rank, tokenCount: tokenCount, queries: video.query.shape,
      textCount: text.query.shape[1])
    // All exchanges start at once; a group's attention begins as soon as its own is done.
    var arriving: [any PendingTransfer] = []
    for part in 0..<plan.headGroupCount { arriving.append(try startExchange(video, plan, part, on: backend)) }
    var returning: [any PendingTransfer] = []
    var textParts: [Tensor] = []
    for (part, transfer) in arriving.enumerated() {
      let tokens = try communicating { () throws(CollectiveError) in try transfer.wait() }
      let (videoOutputs, textOutput) = try attendRing(tokens, text: text, plan, part, on: backend)
      returning.append(
        try communicating { () throws(CollectiveError) in
          try group.ulysses.startAllToAll(videoOutputs, receiving: plan.returningShapes(group: part))
        })
      textParts.append(textOutput)
    }
    let textTransfer = try startTextGather(textParts, plan, on: backend)
    return (
      try joinedVideo(returning, plan, on: backend), try joinedText(textTransfer, plan, on: backend)
    )
  }

  // MARK: Ulysses

  /// Sends queries, keys and values of other ranks' heads, and receives this rank's heads of the group's tokens: all
  /// queries, then all keys, then all values.
  private func startExchange(
    _ video: AttentionInputs, _ plan: AttentionShards, _ part: Int, on backend: any Backend
  ) throws(BackendError) -> any PendingTransfer {
    var sending: [OutgoingMessage] = []
    var receiving: [IncomingMessage] = []
    for tensor in [video.query, video.key, video.value] {
      for (rank, shape) in plan.arrivingShapes(group: part).enumerated() {
        let heads = plan.heads(rank, group: part)
        sending.append(OutgoingMessage(try backend.download(tensor.slice(2, heads)), to: rank))
        receiving.append(IncomingMessage(shape, from: rank))
      }
    }
    return try communicating { () throws(CollectiveError) in
      try group.ulysses.transfer(sending: sending, receiving: receiving)
    }
  }

  // MARK: Ring

  /// Attention of the group's queries, and of this rank's text queries, over all tokens of the sample, for one group of heads.
  private func attendRing(
    _ tokens: [Tensor], text: AttentionInputs, _ plan: AttentionShards, _ part: Int, on backend: any Backend
  ) throws(BackendError) -> (video: [Tensor], text: Tensor) {
    let u = plan.layout.ulysses
    let heads = plan.ownHeads(group: part)
    let textTokens = plan.textTokens(ringRank: plan.ringRank)
    let textQuery = text.query.slice(1, textTokens).slice(2, heads)
    if heads.isEmpty { return (Array(tokens[0..<u]), Tensor(uninitialized: textQuery.shape)) }
    var queries: [Tensor] = []
    for query in tokens[0..<u] where query.count > 0 { queries.append(try backend.upload(query)) }
    if textQuery.count > 0 { queries.append(textQuery) }
    let textKeys = KeyValue(key: text.key.slice(2, heads), value: text.value.slice(2, heads))

    var chunk = Array(tokens[u...])
    var outputs: [AttentionOutput]?
    for turn in 0..<plan.layout.ring {
      // The next chunk travels while this one is attended.
      let isLast = turn == plan.layout.ring - 1
      var next: (any PendingTransfer)?
      if !isLast {
        let shapes = plan.chunkShapes(ringRank: plan.owner(ofTurn: turn + 1), group: part)
        next = try communicating { () throws(CollectiveError) in
          try group.ring.exchange(
            sending: chunk, to: plan.nextInRing, receiving: shapes + shapes, from: plan.previousInRing)
        }
      }
      var keyValues = turn == 0 ? [textKeys] : []
      let count = chunk.count / 2
      for index in 0..<count where chunk[index].count > 0 {
        keyValues.append(
          KeyValue(key: try backend.upload(chunk[index]), value: try backend.upload(chunk[count + index])))
      }
      if !keyValues.isEmpty && !queries.isEmpty {
        let partial = try backend.attention(
          queries: queries, keyValues: keyValues, scale: text.scale, mask: .none, logSumExp: plan.layout.ring > 1)
        if let before = outputs {
          var merged: [AttentionOutput] = []
          for (a, b) in zip(before, partial) { merged.append(try backend.merged(a, b)) }
          outputs = merged
        } else {
          outputs = partial
        }
      }
      if let next { chunk = try communicating { () throws(CollectiveError) in try next.wait() } }
    }

    var results = (outputs ?? []).map(\.values)[...]
    var videoOutputs: [Tensor] = []
    for query in tokens[0..<u] {
      guard query.count > 0, let result = results.popFirst() else {
        videoOutputs.append(query)
        continue
      }
      videoOutputs.append(try backend.download(result))
    }
    return (videoOutputs, results.popFirst() ?? Tensor(uninitialized: textQuery.shape))
  }

  // MARK: The way back

  /// This rank's tokens with all heads, from the parts that the Ulysses group has computed.
  private func joinedVideo(
    _ returning: [any PendingTransfer], _ plan: AttentionShards, on backend: any Backend
  ) throws(BackendError) -> Tensor {
    var byGroup: [[Tensor]] = []
    for transfer in returning {
      byGroup.append(try communicating { () throws(CollectiveError) in try transfer.wait() })
    }
    var parts: [Tensor] = []
    for rank in 0..<plan.layout.ulysses {
      for tensors in byGroup where tensors[rank].shape[2] > 0 { parts.append(try backend.upload(tensors[rank])) }
    }
    if parts.count == 1 { return parts[0] }
    return try backend.concatenate(parts, axis: 2)
  }

  /// Starts giving this rank's text results, its heads and tokens, to all ranks.
  private func startTextGather(
    _ parts: [Tensor], _ plan: AttentionShards, on backend: any Backend
  ) throws(BackendError) -> any PendingTransfer {
    let filled = parts.filter { $0.count > 0 }
    let mine =
      filled.isEmpty
      ? Tensor(uninitialized: plan.textShape(rank: group.all.rank))
      : try backend.download(filled.count == 1 ? filled[0] : backend.concatenate(filled, axis: 2))
    return try communicating { () throws(CollectiveError) in
      try group.all.startAllGather(mine, receiving: (0..<group.all.size).map { plan.textShape(rank: $0) })
    }
  }

  /// All text tokens with all heads.
  private func joinedText(
    _ transfer: any PendingTransfer, _ plan: AttentionShards, on backend: any Backend
  ) throws(BackendError) -> Tensor {
    let parts = try communicating { () throws(CollectiveError) in try transfer.wait() }
    var rows: [Tensor] = []
    for ring in 0..<plan.layout.ring where !plan.textTokens(ringRank: ring).isEmpty {
      var heads: [Tensor] = []
      for part in parts[ring * plan.layout.ulysses..<(ring + 1) * plan.layout.ulysses] where part.count > 0 {
        heads.append(try backend.upload(part))
      }
      rows.append(heads.count == 1 ? heads[0] : try backend.concatenate(heads, axis: 2))
    }
    return rows.count == 1 ? rows[0] : try backend.concatenate(rows, axis: 1)
  }
}
