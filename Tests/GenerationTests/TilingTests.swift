import CPUBackend
import Checkpoints
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
      ("one_layer", "tiled_not_needed"), ("one_layer", "tiled_space"), ("one_layer", "tiled_space_last_column"),
      ("one_layer", "tiled_time"), ("one_layer", "tiled_time_and_space"), ("one_layer", "tiled_time_last_frame"),
      ("two_layers", "tiled_time_and_space"),
    ])
  func `a tiled decode is diffusers' tiled decode`(_ golden: (network: String, clip: String)) throws {
    let expected = try Goldens.tensors("vae/\(golden.network)/expected.safetensors")
    let decoder = TiledDecoder(try decoder(golden.network), tiling: true, in: context)
    let latents = try expected.tensor("\(golden.clip).latents")
    var tiles = 0
    let video = try decode(latents, decoder) { tiles += 1 }
    expectClose(video, try expected.tensor("\(golden.clip).decoded"), relative: 1e-4, golden.clip)
    let facts = try Goldens.json("vae/\(golden.network)/expected.json").object?["decodings"]?.object?[golden.clip]?
      .object
    #expect(tiles == facts?["decoder_calls"]?.array?.count)
    #expect(tiles == decoder.tileCount(for: latents.shape))
  }

  @Test func `without tiling everything is decoded at once`() throws {
    let expected = try Goldens.tensors("vae/one_layer/expected.safetensors")
    let latents = try expected.tensor("tiled_time_and_space.latents")
    let decoder = TiledDecoder(try decoder("one_layer"), tiling: false, in: context)
    var tiles = 0
    let video = try decode(latents, decoder) { tiles += 1 }
    #expect(tiles == 1 && decoder.tileCount(for: latents.shape) == 1)
    // Tiles have statistics of their own, so the two differ, but in size.
    let tiled = try expected.tensor("tiled_time_and_space.decoded")
    #expect(video.shape == tiled.shape)
    #expect(Comparison(video, tiled).relativeNorm > 1e-4)
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

  private func decoder(_ name: String) throws -> VideoDecoder {
    let folder = Goldens.path("vae/\(name)")
    return try VideoDecoder(
      WeightScope(Checkpoint(path: folder + "/weights.safetensors")),
      configuration: AutoencoderConfiguration(ConfigurationReader(contentsOf: folder + "/config.json")))
  }
}
