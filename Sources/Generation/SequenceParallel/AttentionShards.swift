import Layers
import TensorCore

/// Who has which tokens and heads in one attention. Every rank works out the same from the sizes alone, so nothing but the
/// tensors themselves is ever sent.
struct AttentionShards {
  let layout: RankLayout
  let ulyssesRank: Int
  let ringRank: Int
  /// How many groups of heads are exchanged one after another.
  let headGroupCount: Int
  private let batch: Int
  private let headSize: Int
  private let heads: ShardPlan
  private let video: ShardPlan
  private let text: ShardPlan

  /// - Parameters:
  ///   - tokenCount: video tokens of the sample.
  ///   - queries: this rank's video queries, `[B, l, N, D]`.
  ///   - textCount: text tokens of the sample.
  init(_ layout: RankLayout, rank: Int, tokenCount: Int, queries: Shape, textCount: Int) {
    self.layout = layout
    ulyssesRank = layout.ulyssesRank(rank)
    ringRank = layout.ringRank(rank)
    (batch, headSize) = (queries[0], queries[3])
    heads = ShardPlan(count: queries[2], parts: layout.ulysses)
    video = ShardPlan(count: tokenCount, parts: layout.ranks)
    text = ShardPlan(count: textCount, parts: layout.ring)
    headGroupCount = layout.ulysses > 1 && heads.size(0) > 1 ? 2 : 1
    precondition(
      queries[1] == video.size(rank), "sharded attention: rank \(rank) has \(queries[1]) of \(tokenCount) tokens")
  }

  /// Heads of one group of a rank of a Ulysses group.
  func heads(_ ulyssesRank: Int, group: Int) -> Range<Int> {
    let all = heads.range(ulyssesRank)
    let part = ShardPlan(count: all.count, parts: headGroupCount).range(group)
    return all.lowerBound + part.lowerBound..<all.lowerBound + part.upperBound
  }

  /// This rank's heads of one group.
  func ownHeads(group: Int) -> Range<Int> { heads(ulyssesRank, group: group) }

  /// Video tokens of a rank, with some heads.
  func shape(ulyssesRank: Int, ringRank: Int, heads: Int) -> Shape {
    [batch, video.size(ringRank * layout.ulysses + ulyssesRank), heads, headSize]
  }

  /// What each rank of the Ulysses group sends of its queries, or of its keys or values.
  func arrivingShapes(group: Int) -> [Shape] { chunkShapes(ringRank: ringRank, group: group) }

  /// What each rank of the Ulysses group sends back of this rank's tokens.
  func returningShapes(group: Int) -> [Shape] {
    (0..<layout.ulysses).map { rank in
      shape(ulyssesRank: ulyssesRank, ringRank: ringRank, heads: heads(rank, group: group).count)
    }
  }

  /// Keys, or values, of the tokens of a Ulysses group: what passes round the ring.
  func chunkShapes(ringRank: Int, group: Int) -> [Shape] {
    (0..<layout.ulysses).map { shape(ulyssesRank: $0, ringRank: ringRank, heads: ownHeads(group: group).count) }
  }

  /// Whose keys and values are here at a turn of the ring.
  func owner(ofTurn turn: Int) -> Int { (ringRank - turn + layout.ring) % layout.ring }
  var nextInRing: Int { (ringRank + 1) % layout.ring }
  var previousInRing: Int { (ringRank - 1 + layout.ring) % layout.ring }

  /// Text queries that the ranks at one place of the ring compute.
  func textTokens(ringRank: Int) -> Range<Int> { text.range(ringRank) }

  /// The text results that a rank computes.
  func textShape(rank: Int) -> Shape {
    [batch, text.size(layout.ringRank(rank)), heads.size(layout.ulyssesRank(rank)), headSize]
  }
}
