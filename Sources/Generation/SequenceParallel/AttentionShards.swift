import Layers
import TensorCore

/// Who has which tokens and heads in one attention. Every rank works out the same from the sizes alone, so nothing but the
/// tensors themselves is ever sent.
struct AttentionShards {
  let layout: RankLayout
  let rank: Int
  let ulyssesRank: Int
  let ringRank: Int
  /// How many groups of heads are exchanged one after another.
  let headGroupCount: Int
  private let batch: Int
  private let headSize: Int
  private let heads: ShardPlan
  private let video: ShardPlan
  private let text: ShardPlan

  /// More groups hide more of the exchange and send smaller messages.
  private static let headGroupLimit = 4

  /// - Parameters:
  ///   - videoTokens: video tokens of the sample.
  ///   - textTokens: text tokens of the sample.
  ///   - queries: of some tokens, `[B, l, N, D]`.
  init(_ layout: RankLayout, rank: Int, videoTokens: Int, textTokens: Int, queries: Shape) {
    self.layout = layout
    self.rank = rank
    ulyssesRank = layout.ulyssesRank(rank)
    ringRank = layout.ringRank(rank)
    (batch, headSize) = (queries[0], queries[3])
    heads = ShardPlan(count: queries[2], parts: layout.ulysses)
    video = ShardPlan(count: videoTokens, parts: layout.ranks)
    text = ShardPlan(count: textTokens, parts: layout.ranks)
    headGroupCount = layout.ulysses == 1 ? 1 : min(max(heads.size(0), 1), Self.headGroupLimit)
  }

  /// The ranks of this rank's Ulysses group.
  var ulyssesGroup: Range<Int> { ringRank * layout.ulysses..<(ringRank + 1) * layout.ulysses }

  /// How many tokens of each stream a rank has. Where it sends both as one tensor, text follows video.
  func videoTokens(_ rank: Int) -> Int { video.size(rank) }
  func textTokens(_ rank: Int) -> Int { text.size(rank) }

  /// Heads of one group of a rank of a Ulysses group.
  func heads(_ ulyssesRank: Int, group: Int) -> Range<Int> {
    let all = heads.range(ulyssesRank)
    let part = ShardPlan(count: all.count, parts: headGroupCount).range(group)
    return all.lowerBound + part.lowerBound..<all.lowerBound + part.upperBound
  }

  /// This rank's heads of one group.
  func ownHeads(group: Int) -> Range<Int> { heads(ulyssesRank, group: group) }

  /// Both streams' tokens of a rank, with some heads.
  func shape(rank: Int, heads: Int) -> Shape { [batch, video.size(rank) + text.size(rank), heads, headSize] }

  /// What a rank of the Ulysses group sends of its queries, keys or values; also what passes round the ring of its keys and values.
  func arrivingShape(rank: Int, group: Int) -> Shape { shape(rank: rank, heads: ownHeads(group: group).count) }

  /// What a rank of the Ulysses group sends back of this rank's tokens.
  func returningShape(rank: Int, group: Int) -> Shape {
    shape(rank: self.rank, heads: heads(layout.ulyssesRank(rank), group: group).count)
  }

  /// The ranks whose keys and values are here at a turn of the ring.
  func owners(turn: Int) -> Range<Int> {
    let owner = (ringRank - turn + layout.ring) % layout.ring
    return owner * layout.ulysses..<(owner + 1) * layout.ulysses
  }

  var nextInRing: Int { (ringRank + 1) % layout.ring }
  var previousInRing: Int { (ringRank - 1 + layout.ring) % layout.ring }
}
