public import Collectives
public import Layers
import TensorCore
import TensorOps

/// The ranks that share a sample, and their Ulysses and ring subgroups.
public struct SequenceGroup: Sendable {
  public let layout: RankLayout
  let all: any ProcessGroup
  let ulysses: any ProcessGroup
  let ring: any ProcessGroup

  /// One rank.
  public init() {
    layout = RankLayout(ulysses: 1, ring: 1)
    (all, ulysses, ring) = (SingleProcessGroup(), SingleProcessGroup(), SingleProcessGroup())
  }

  /// Groups that are there already.
  init(layout: RankLayout, all: any ProcessGroup, ulysses: any ProcessGroup, ring: any ProcessGroup) {
    self.layout = layout
    (self.all, self.ulysses, self.ring) = (all, ulysses, ring)
  }

  /// - Precondition: the layout has as many ranks as the group.
  public init(_ group: any ProcessGroup, layout: RankLayout) throws(CollectiveError) {
    precondition(layout.ranks == group.size, "layout: \(layout.ulysses) x \(layout.ring) for \(group.size) ranks")
    self.layout = layout
    all = group
    let (u, r) = (layout.ulyssesRank(group.rank), layout.ringRank(group.rank))
    ulysses = layout.ring == 1 ? group : try group.subgroup(color: r, key: u)
    ring = layout.ulysses == 1 ? group : try group.subgroup(color: u, key: r)
  }

  /// A context in which a sample's video and text tokens are shared out to the ranks.
  public func context(_ context: ForwardContext) -> ForwardContext {
    if all.size == 1 { return context }
    var sharded = context
    sharded.tokens = ShardedTokens(group: all)
    sharded.jointAttention = ShardedJointAttention(self)
    return sharded
  }
}

/// Consecutive tokens on each rank, as evenly as it goes.
struct ShardedTokens: TokenSharding {
  let group: any ProcessGroup

  func range(of count: Int) -> Range<Int> { ShardPlan(count: count, parts: group.size).range(group.rank) }

  func gathered(_ tokens: Tensor, count: Int, on backend: any Backend) throws(BackendError) -> Tensor {
    let plan = ShardPlan(count: count, parts: group.size)
    let messages = TensorMessages(group: group, backend: backend)
    let receiving = (0..<group.size).map { rank in
      messages.incoming(
        Shape([tokens.shape[0], plan.size(rank)] + tokens.shape.dimensions[2...]), from: rank)
    }
    let mine = try messages.outgoing([tokens])
    let transfer = try communicating { () throws(CollectiveError) in
      try group.startAllGather(mine, receiving: receiving)
    }
    return try backend.concatenate(messages.wait(transfer).filter { $0.count > 0 }, axis: 1)
  }
}
