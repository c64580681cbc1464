import BackendConformance
import CPUBackend
import Collectives
import Generation
import HunyuanVideo
import Layers
import StrictJSON
import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite struct TilingTests {
  private let context = ForwardContext(backend: CPUBackend())

  @Test(
    arguments: [
      (TinyDecoder.oneLayer, "tiled_not_needed"), (.oneLayer, "tiled_space"), (.oneLayer, "tiled_space_last_column"),
      (.oneLayer, "tiled_time"), (.oneLayer, "tiled_time_and_space"), (.oneLayer, "tiled_time_last_frame"),
      (.twoLayers, "tiled_time_and_space"),
    ])
  func `a tiled decode is diffusers' tiled decode`(_ golden: (network: TinyDecoder, clip: String)) throws {
    let folder = "vae/\(golden.network.rawValue)"
    let expected = try Goldens.tensors("\(folder)/expected.safetensors")
    let decoder = TiledDecoder(try golden.network.network, tiling: true, in: context)
    let latents = try expected.tensor("\(golden.clip).latents")
    var tiles = 0
    let video = try decode(latents, decoder) { tiles += 1 }
    expectClose(video, try expected.tensor("\(golden.clip).decoded"), relative: 1e-4, golden.clip)
    let facts = try Goldens.json("\(folder)/expected.json").object?["decodings"]?.object?[golden.clip]?
      .object
    #expect(tiles == facts?["decoder_calls"]?.array?.count)
    #expect(tiles == decoder.tileCount(for: latents.shape))
  }

  @Test func `without tiling everything is decoded at once`() throws {
    let expected = try Goldens.tensors("vae/one_layer/expected.safetensors")
    let latents = try expected.tensor("tiled_time_and_space.latents")
    let decoder = TiledDecoder(try TinyDecoder.oneLayer.network, tiling: false, in: context)
    var tiles = 0
    let video = try decode(latents, decoder) { tiles += 1 }
    #expect(tiles == 1 && decoder.tileCount(for: latents.shape) == 1)
    // Tiles have statistics of their own, so the two differ, but in size.
    let tiled = try expected.tensor("tiled_time_and_space.decoded")
    #expect(video.shape == tiled.shape)
    #expect(Comparison(video, tiled).relativeNorm > 1e-4)
  }

  @Test(arguments: [(1, 2), (2, 3), (1, 5), (3, 8)])
  func `tiles that ranks decode together become the frames of one rank, bit for bit`(
    _ ranks: (threads: Int, count: Int)
  ) throws {
    let network = try TinyDecoder.oneLayer.network
    var random = RandomTensors(seed: 17)
    // Not cut, cut in space, in time, in both; with a last tile of one row, column or frame.
    for shape: Shape in [
      [1, 16, 2, 3, 4], [1, 16, 1, 7, 10], [1, 16, 9, 2, 3], [1, 16, 5, 12, 18], [1, 16, 7, 7, 13],
    ] {
      let latents = random.tensor(shape)
      @Sendable func video(_ group: any ProcessGroup = SingleProcessGroup()) throws -> [UInt32] {
        let context = ForwardContext(backend: CPUBackend(threads: ranks.threads))
        var pieces: [Float] = []
        try TiledDecoder(network, tiling: true, in: context, group: group).decode(latents) { pieces += $0.floats() }
        return pieces.map(\.bitPattern)
      }
      let expected = try video()
      let found = try LoopbackGroup.run(ranks.count) { try video($0) }
      #expect(!expected.isEmpty && found[0] == expected, "\(shape) on \(ranks.count) ranks")
      #expect(found.dropFirst().allSatisfy { $0.isEmpty }, "only the first rank has frames")
    }
  }

  @Test func `the published tiling cuts 720p as the reference does`() {
    let plan = TilePlan(.hunyuanVideo)
    func spans(_ axis: TileAxis, _ count: Int) -> [[Int]] { axis.spans(count: count).map { [$0.start, $0.count] } }
    #expect(spans(plan.space, 90) == [[0, 32], [24, 32], [48, 32], [72, 18]])
    #expect(plan.space.spans(count: 160).count == 7 && plan.space.spans(count: 160).last?.count == 16)
    #expect(spans(plan.time, 33) == [[0, 17], [12, 17], [24, 9]])
    #expect(spans(plan.time, 25) == [[0, 17], [12, 13], [24, 1]])
    #expect(spans(plan.time, 53) == [[0, 17], [12, 17], [24, 17], [36, 17], [48, 5]])
    #expect(plan.tileCount(frames: 33, height: 90, width: 160) == 84)
    #expect(plan.tileCount(frames: 17, height: 32, width: 32) == 2)
    #expect(plan.tileCount(frames: 16, height: 32, width: 32) == 1)
    #expect((plan.space.blend, plan.space.kept) == (64, 192) && (plan.time.blend, plan.time.kept) == (16, 48))
  }

  /// Decodes and joins the pieces.
  private func decode(_ latents: Tensor, _ decoder: TiledDecoder, tileDone: () -> Void) throws -> Tensor {
    var pieces: [Tensor] = []
    try decoder.decode(latents, tileDone: tileDone) { pieces.append($0) }
    return try context.backend.concatenate(pieces, axis: 2)
  }
}
