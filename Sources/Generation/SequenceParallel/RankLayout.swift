/// How ranks share the work on one sample: `ulysses` neighbours exchange heads, `ring` groups of them pass keys and values
/// round.
public struct RankLayout: Sendable, Hashable {
  public let ulysses: Int
  public let ring: Int

  public init(ulysses: Int, ring: Int) {
    precondition(ulysses > 0 && ring > 0, "layout: \(ulysses) x \(ring)")
    (self.ulysses, self.ring) = (ulysses, ring)
  }

  public var ranks: Int { ulysses * ring }

  /// Every layout of a number of ranks, pure Ulysses last.
  public static func all(of ranks: Int) -> [RankLayout] {
    (1...ranks).filter { ranks % $0 == 0 }.map { RankLayout(ulysses: $0, ring: ranks / $0) }
  }

  /// Ranks next to each other form a Ulysses group.
  public func ulyssesRank(_ rank: Int) -> Int { rank % ulysses }
  public func ringRank(_ rank: Int) -> Int { rank / ulysses }

  /// Values that a rank sends in one layer's attention, on average: queries, keys, values and results to the Ulysses group,
  /// keys and values round the ring.
  public func sentValues(videoTokens: Int, textTokens: Int, channels: Int) -> Double {
    let shard = Double(videoTokens + textTokens) / Double(ranks)
    let exchanged = 4 * shard * Double(ulysses - 1) / Double(ulysses)
    let rotated = 2 * shard * Double(ring - 1)
    return (exchanged + rotated) * Double(channels)
  }

  /// The layout for a number of ranks, and why.
  ///
  /// Uneven heads make the rank with the most heads the one that all wait for; messages between hosts cost more than
  /// within one, and those of the ring are hidden behind attention for the most part.
  /// - Parameter ranksPerHost: where all hosts have the same number; 1 where they do not.
  public static func automatic(
    ranks: Int, ranksPerHost: Int, heads: Int
  ) -> (layout: RankLayout, reason: String) {
    let candidates = all(of: ranks)
    /// Attention of the busiest rank, and messages in units of a rank's video tokens.
    func cost(_ layout: RankLayout) -> (work: Double, messages: Double) {
      let most = ShardPlan(count: heads, parts: layout.ulysses).size(0)
      let work = Double(most * layout.ulysses) / Double(heads)
      let remote = 4.0
      let staysInside = ranksPerHost % layout.ulysses == 0
      let exchange = 4 * Double(layout.ulysses - 1) / Double(layout.ulysses) * (staysInside ? 1 : remote)
      let crosses = layout.ring > 1 && ranks > ranksPerHost
      return (work, exchange + Double(layout.ring - 1) * (crosses ? remote : 1))
    }
    // A twentieth of the work weighs as much as one exchange of a rank's tokens.
    let costs = candidates.map { layout in
      let cost = cost(layout)
      return cost.work + cost.messages / 20
    }
    let best = zip(candidates, costs).min { $0.1 < $1.1 }?.0 ?? RankLayout(ulysses: 1, ring: ranks)
    let most = ShardPlan(count: heads, parts: best.ulysses).size(0)
    let hosts = ranks > ranksPerHost ? "\(ranks / ranksPerHost) hosts" : "1 host"
    let unit = cost(best).messages
    return (
      best,
      "\(ranks) ranks on \(hosts): Ulysses \(best.ulysses) x ring \(best.ring): \(most) of \(heads) heads on a rank at most"
        + (unit > 0 ? ", least attention and messages of \(candidates.count) layouts" : "")
    )
  }
}
