import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// What a user learns of a weight file with one number that is none.
@Suite struct NonFiniteTests {
  /// A copy of the demo whose transformer has 9 blocks of each kind, repeated from its own, and one changed value.
  private func model(_ folder: TemporaryFolder, key: String, value: Float) throws -> String {
    let model = try folder.copyOfDemo()
    let path = model + "/hunyuan-video-t2v-720p/transformers/"
    let file = path + "mp_rank_00_model_states.safetensors"
    var tensors: [(name: String, tensor: Tensor)] = []
    func add(_ name: String, _ tensor: Tensor) {
      // float32, each tensor with memory of its own.
      let copy = Tensor(tensor.floats(), shape: tensor.shape)
      if name == key { copy.mutableHostPointer.assumingMemoryBound(to: Float.self)[copy.count / 2] = value }
      tensors.append((name, copy))
    }
    for tensor in try Checkpoint(path: file).tensors {
      let parts = tensor.name.split(separator: ".", maxSplits: 2).map(String.init)
      guard ["double_blocks", "single_blocks"].contains(parts[0]), let index = Int(parts[1]) else {
        add(tensor.name, tensor.tensor)
        continue
      }
      for copy in stride(from: index, to: 9, by: parts[0] == "double_blocks" ? 2 : 4) {
        add("\(parts[0]).\(copy).\(parts[2])", tensor.tensor)
      }
    }
    try FileManager.default.removeItem(atPath: file)
    try SafetensorsWriter.write(tensors, to: file)
    var configuration = try String(contentsOfFile: path + "config.json", encoding: .utf8)
    for (kind, count) in [("double", 2), ("single", 4)] {
      let field = "\"mm_\(kind)_blocks_depth\": "
      #expect(configuration.contains("\(field)\(count)"))
      configuration = configuration.replacing("\(field)\(count)", with: "\(field)9")
    }
    try configuration.write(toFile: path + "config.json", atomically: true, encoding: .utf8)
    return model
  }

  private func generate(_ folder: TemporaryFolder, _ model: String, _ more: [String] = []) throws -> Program.Result {
    try Program.run(
      [
        "generate", "--model", model, "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "2", "--video-length",
        "1", "--output", folder.path("a.mp4"),
      ] + more)
  }

  @Test(arguments: [
    ("double_blocks.7.img_attn_qkv.weight", "step 1: double_blocks.7: video tokens"),
    // Text meets video again in the next block only.
    ("double_blocks.7.txt_mlp.fc2.bias", "step 1: double_blocks.7: text tokens"),
    ("double_blocks.7.img_mod.linear.weight", "step 1: double_blocks.7: video tokens"),
    ("single_blocks.7.linear2.weight", "step 1: single_blocks.7: video tokens"),
    ("final_layer.linear.bias", "step 1: final_layer: velocity"),
    ("time_in.mlp.0.bias", "time_in, vector_in, guidance_in: conditioning"),
    ("txt_in.individual_token_refiner.blocks.1.norm1.bias", "txt_in.individual_token_refiner.blocks.1: text tokens"),
  ])
  func `a weight file with one NaN gives the error naming step, block, tensor and weight`(
    _ key: String, _ location: String
  ) throws {
    let folder = TemporaryFolder()
    let result = try generate(folder, try model(folder, key: key, value: .nan))
    #expect(result.status == 1, "\(result.errors)")
    #expect(result.errorLine.contains("transformer: \(location): expected finite values"), "\(result.errors)")
    #expect(result.errorLine.contains("the weight \(key) in "), "\(result.errors)")
  }

  @Test func `where the weights are finite the error says so`() throws {
    let folder = TemporaryFolder()
    let result = try generate(folder, try model(folder, key: "final_layer.linear.weight", value: 3e38))
    #expect(result.status == 1 && result.errorLine.contains(": expected finite values"), "\(result.errors)")
    #expect(result.errorLine.contains("are finite: its numbers overflowed"), "\(result.errors)")
  }

  @Test(arguments: [1, 2])
  func `without the check the run goes on to the last step and the latents are refused`(_ ranks: Int) throws {
    let folder = TemporaryFolder()
    let result = try generate(
      folder, try model(folder, key: "double_blocks.7.img_attn_qkv.weight", value: .nan),
      ["--no-check", "--ranks", "\(ranks)"])
    #expect(result.status == 1 && result.errorLines.count == 1 && result.errors.contains("denoise"), "\(result.errors)")
    for word in ["latents after the last step", "found NaN", "transformer's weights", "without --no-check"] {
      #expect(result.errorLine.contains(word), "\(word): \(result.errors)")
    }
    // No time goes into frames, and nothing is left or offered that cannot become a video.
    for word in ["load decoder", "hyvideo decode"] { #expect(!result.errors.contains(word), "\(result.errors)") }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root) == ["model"])
  }
}
