import Collectives
import Generation
import TensorCore
import Testing

/// What ranks send in a layer of a video of the published size, 129 frames of 720 x 1280 with 256 tokens of text.
@Suite struct AttentionVolumeTests {
  static let layouts: [RankLayout] = [
    (8, 1), (4, 2), (2, 4), (1, 8), (7, 1), (3, 2), (5, 1), (1, 5), (4, 1), (2, 1), (1, 2),
  ].map { RankLayout(ulysses: $0.0, ring: $0.1) }

  @Test(arguments: layouts)
  func `bytes of a layer are those of the published formulas`(_ layout: RankLayout) throws {
    let (videoTokens, textTokens, heads) = (33 * 45 * 80, 256, 24)
    let sample = ShardedAttentionSample(videoTokens: videoTokens, textTokens: textTokens, heads: heads, headSize: 1) {
      Tensor(repeating: 0, shape: $0)
    }
    let sent = try LoopbackGroup.run(layout.ranks) { group in
      let ranks = try SequenceGroup(group, layout: layout)
      let before = group.statistics.bytesSent
      let backend = AttentionBackend { (queries, _, logSumExp) in
        AttentionBackend.blank(queries, logSumExp: logSumExp)
      }
      _ = try sample.attended(by: ranks, rank: group.rank, on: backend)
      return group.statistics.bytesSent - before
    }
    let measured = Double(sent.reduce(0, +)) / Double(layout.ranks) / 4 / Double(heads)

    // Ulysses: queries and results of video and of all text, keys and values of video; ring: keys and values of video.
    let (u, r) = (Double(layout.ulysses), Double(layout.ring))
    let shard = Double(videoTokens) / (u * r)
    let published = (4 * shard + 2 * Double(textTokens)) * (u - 1) / u + 2 * (r - 1) * shard
    #expect(abs(measured - published) <= 0.01 * published, "\(layout): \(measured) for \(published)")

    // Ours differs in text alone, which every rank has a share of.
    let ours = layout.sentValues(videoTokens: videoTokens, textTokens: textTokens, channels: 1)
    #expect(abs(measured - ours) <= 0.0005 * ours, "\(layout): \(measured) for \(ours)")
  }
}
