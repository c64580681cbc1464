import Collectives
import Foundation
import Generation
import Layers
import TensorCore
import TensorTesting
import Testing

/// How much memory a rank's tensors take in one attention. Ranks are processes, each with its own count.
@Suite struct RingMemoryTests {
  static let (tokens, heads, headSize) = (8192, 16, 16)

  /// The largest use of a rank, in units of one tensor of the whole sample.
  private static func peak(_ layout: RankLayout) throws -> Double {
    let outcome = try RankProcesses.run(
      layout.ranks, test: "RingMemoryRanks",
      environment: ["HYVIDEO_TEST_LAYOUT": "\(layout.ulysses)x\(layout.ring)"])
    #expect(outcome.status == 0, "\(outcome.output)")
    let peaks = try (0..<layout.ranks).map { try #require(outcome.reports[$0].flatMap(Double.init)) }
    return try #require(peaks.max()) / Double(tokens * heads * headSize * 4)
  }

  @Test(.enabled(if: RankProcesses.canStart))
  func `a rank of a ring needs as much less memory as there are ranks`() throws {
    let rings = [1, 2, 4, 8]
    let peaks = try rings.map { try Self.peak(RankLayout(ulysses: 1, ring: $0)) }
    // Its own queries, keys and values, and results.
    #expect(peaks[0] < 4.1, "\(peaks)")
    for (ring, peak) in zip(rings, peaks).dropFirst() {
      // Beside its own 3: keys and values that are attended, those on their way, and results so far, new and joined, with
      // their logarithms.
      #expect(peak * Double(ring) < 10.3, "\(ring) ranks: \(peaks)")
    }
    #expect(abs(peaks[2] / peaks[3] - 2) < 0.1, "\(peaks)")
    // All keys and values would be 2.
    #expect(peaks[3] < 2)
  }

  @Test(.enabled(if: RankProcesses.canStart))
  func `exchanging heads needs as much less memory as there are ranks`() throws {
    let peaks = try [2, 4, 8].map { try Self.peak(RankLayout(ulysses: $0, ring: 1)) * Double($0) }
    // Its own 3, what it receives of a group of heads that is attended and sends and receives of the next, each 3 over the number of
    // groups, and results of all groups so far.
    for peak in peaks { #expect(peak < 8.7, "\(peaks)") }
  }

  /// What the ranks do.
  @Suite(.enabled(if: RankProcesses.areRunning)) struct RingMemoryRanks {
    static let layout = ProcessInfo.processInfo.environment["HYVIDEO_TEST_LAYOUT"].flatMap { text -> RankLayout? in
      let numbers = text.split(separator: "x").compactMap { Int($0) }
      return numbers.count == 2 ? RankLayout(ulysses: numbers[0], ring: numbers[1]) : nil
    }

    @Test func `ranks attend and say what it took`() throws {
      let group = try MPIProcessGroup.join()
      let layout = try #require(Self.layout)
      let count = ShardPlan(count: tokens, parts: group.size).size(group.rank)
      let pool = HostBufferPool.shared
      let before = pool.statistics.bytesInUse
      // Only this rank's share is ever made.
      let share = ShardedAttentionSample(videoTokens: count, textTokens: 0, heads: heads, headSize: headSize) {
        Tensor(repeating: 0.5, shape: $0)
      }
      let attention = ShardedJointAttention(try SequenceGroup(group, layout: layout))
      // Only what is exchanged counts here, not what an attention needs for itself.
      let backend = AttentionBackend { (queries, _, logSumExp) in
        AttentionBackend.blank(queries, logSumExp: logSumExp)
      }
      try group.barrier()
      pool.resetPeak()
      let result = try attention.attend(
        video: share.video, text: share.text, at: AttentionSite(grid: [1, 1, tokens], textTokens: 0), on: backend)
      let peak = pool.statistics.peakBytesInUse - before
      #expect(result.video.shape == share.video.query.shape)
      group.finish()
      try RankProcesses.report("\(peak)", rank: group.rank)
    }
  }
}
