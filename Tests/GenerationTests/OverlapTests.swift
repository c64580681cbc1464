import Collectives
import Foundation
import Generation
import TensorCore
import Testing

/// How much of the exchange hides behind attention, with a slow network and an attention that takes a known time. Both only
/// sleep, and for long, so that it does not matter what else the cores do.
@Suite(.serialized) struct OverlapTests {
  private static func statistics(
    _ layout: RankLayout, heads: Int, delay: Duration, bandwidth: Double = .infinity, attention: TimeInterval
  ) throws -> [CommunicationStatistics] {
    let sample = ShardedAttentionSample(videoTokens: 512, textTokens: 0, heads: heads, headSize: 16) {
      Tensor(repeating: 0, shape: $0)
    }
    return try LoopbackGroup.run(layout.ranks, delay: delay, bandwidth: bandwidth) { group in
      let backend = AttentionBackend { (queries, _, logSumExp) in
        Thread.sleep(forTimeInterval: attention)
        return AttentionBackend.blank(queries, logSumExp: logSumExp)
      }
      let ranks = try SequenceGroup(group, layout: layout)
      try group.barrier()
      let before = group.statistics
      _ = try sample.attended(by: ranks, rank: group.rank, on: backend)
      return group.statistics.since(before)
    }
  }

  private static func hiddenShare(_ statistics: [CommunicationStatistics]) -> Double {
    1 - statistics.reduce(0) { $0 + $1.exposedSeconds } / statistics.reduce(0) { $0 + $1.seconds }
  }

  @Test func `a ring of 8 hides at least 85 percent of its transfers behind attention`() throws {
    let layout = RankLayout(ulysses: 1, ring: 8)
    let result = try Self.statistics(layout, heads: 4, delay: .milliseconds(60), attention: 0.12)
    let seconds = result.reduce(0) { $0 + $1.seconds } / 8
    #expect(seconds > 0.5 * 7 * 0.06, "transfers took \(seconds) s in all")
    #expect(Self.hiddenShare(result) >= 0.85, "\(result)")
  }

  @Test func `heads in groups hide the exchange of all groups but one`() throws {
    // A rank's 128 tokens with one head, to one other rank: 8192 bytes. Queries, keys and values of a group of heads then take
    // 9 · 6 ms to leave, results 3 · 6 ms.
    let layout = RankLayout(ulysses: 4, ring: 1)
    let bandwidth = 8192 / 0.006
    let groups = try Self.statistics(layout, heads: 16, delay: .zero, bandwidth: bandwidth, attention: 0.12)
    let whole = try Self.statistics(layout, heads: 4, delay: .zero, bandwidth: bandwidth, attention: 0.12)
    #expect(Self.hiddenShare(groups) >= 0.6, "\(groups)")
    #expect(Self.hiddenShare(whole) < 0.2, "\(whole)")
  }
}
