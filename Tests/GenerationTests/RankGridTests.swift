import CPUBackend
import Collectives
import Foundation
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Ranks that are processes against one: every layout of 2 to 8 ranks, at sizes that divide by few numbers, with long and short
/// texts and with true guidance, from noise to frames. One start of ranks goes through all layouts of their number.
@Suite(.serialized) struct RankGridTests {
  @Test(.enabled(if: RankProcesses.canStart), arguments: 2...8)
  func `latents and frames of processes are those of one, whatever the layout`(_ ranks: Int) throws {
    let outcome = try RankProcesses.run(ranks, test: "RankGridRanks")
    #expect(outcome.status == 0, "\(outcome.output)")
    let compared = RankLayout.all(of: ranks).count * TinySample.grid.count
    #expect(outcome.reports[0] == "\(compared) runs", "\(outcome.output)")
  }

  /// What the ranks do.
  @Suite(.enabled(if: RankProcesses.areRunning)) struct RankGridRanks {
    private let context = ForwardContext(backend: CPUBackend(threads: 1))

    @Test func `ranks take the steps of the first alone, and decode its latents to the same bits`() throws {
      let group = try MPIProcessGroup.join()
      let layouts = try RankLayout.all(of: group.size).map { try SequenceGroup(group, layout: $0) }
      let decoder = try TinyDecoder.oneLayer.network
      let alone = TiledDecoder(decoder, tiling: true, in: context)
      let together = TiledDecoder(decoder, tiling: true, in: context, group: group)
      var count = 0
      for sample in TinySample.grid {
        let expected = group.rank == 0 ? try sample.denoised() : nil
        let expectedVideo = try expected.map { try frames($0, alone) }
        for ranks in layouts {
          let found = try sample.denoised(ranks)
          let bits = try group.allGather(found.floats().map(\.bitPattern).flatMap { Self.bytes($0) })
          #expect(Set(bits).count == 1, "\(sample): the ranks of \(ranks.layout) differ")
          let video = try frames(found, together)
          count += 1
          guard let expected, let expectedVideo else { continue }
          expectClose(found, expected, relative: 1e-5, "latents of \(sample) on \(ranks.layout)")
          expectClose(video, expectedVideo, relative: 1e-4, "frames of \(sample) on \(ranks.layout)")
        }
        // From the same latents, the same frames.
        let shared = try group.broadcast(expected, shape: sample.latents, from: 0)
        let video = try frames(shared, together)
        if let expectedVideo {
          #expect(video.floats().map(\.bitPattern) == expectedVideo.floats().map(\.bitPattern), "frames of \(sample)")
        }
      }
      group.finish()
      try RankProcesses.report("\(count) runs", rank: group.rank)
    }

    private static func bytes(_ word: UInt32) -> [UInt8] { withUnsafeBytes(of: word) { Array($0) } }

    /// The frames of latents; nothing on ranks other than the first. The decoder has four times the channels of the latents.
    private func frames(_ latents: Tensor, _ decoder: TiledDecoder) throws -> Tensor {
      let channels = try context.backend.concatenate([Tensor](repeating: latents, count: 4), axis: 1)
      var pieces: [Tensor] = []
      try decoder.decode(channels) { pieces.append($0) }
      return pieces.isEmpty ? latents : try context.backend.concatenate(pieces, axis: 2)
    }
  }
}
