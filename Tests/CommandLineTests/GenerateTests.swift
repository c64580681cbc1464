import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

@Suite struct GenerateTests {
  private let prompt = "A red ball moves from left to right on a black background."

  @Test func `a prompt becomes an mp4, a report, latents and frames, from any folder`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run([
      "generate", "--prompt", prompt, "--seed", "100", "--infer-steps", "20", "--output", folder.path("out.mp4"),
      "--save-latents", folder.path("latents.safetensors"), "--save-frames", folder.path("frames.safetensors"),
      "--report", folder.path("report.json"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output == folder.path("out.mp4") + "\n")
    #expect(FileManager.default.fileExists(atPath: folder.path("out.mp4")))

    let golden = try Goldens.tensors("demo/sampling.safetensors")
    let latents = try Checkpoint(path: folder.path("latents.safetensors"))
    #expect(latents.tensors.count == 22)
    let first = try #require(latents["step_000"]).tensor
    expectClose(first, try golden.tensor("initial_noise"), relative: 1e-6, "noise")
    let last = try #require(latents["latents"]).tensor
    expectClose(last, try golden.tensor("latents_after_step").slice(0, 19..<20), relative: 1e-3, "latents")
    let video = try #require(try Checkpoint(path: folder.path("frames.safetensors"))["video"]).tensor
    #expect(video.shape == [1, 3, 17, 96, 128] && video.floats().allSatisfy { (0...1).contains($0) })

    let report = try JSONValue(contentsOf: folder.path("report.json")).object
    let keys = [
      "settings", "seed", "version", "checkpoint_sha256", "stages", "steps", "ranks", "bytes_sent",
      "communication_seconds", "exposed_communication_seconds", "output",
    ]
    for key in keys { #expect(report?[key] != nil, "the report lacks \(key)") }
    #expect(report?["steps"]?.array?.count == 20)
    #expect(report?["seed"]?.int == 100)
    #expect(report?["stages"]?.array?.first?.object?["peak_rss_bytes"]?.int ?? 0 > 0)
  }

  @Test func `a seed gives the same bits again, and with another number of threads the same video`() throws {
    let folder = TemporaryFolder()
    var videos: [[Float]] = []
    for (index, threads) in ["2", "2", "3"].enumerated() {
      let path = folder.path("\(index).safetensors")
      let result = try Program.run([
        "generate", "--prompt", prompt, "--seed", "5", "--infer-steps", "3", "--video-length", "5", "--threads",
        threads, "--output", folder.path("\(index)/"), "--save-frames", path,
      ])
      #expect(result.status == 0, "\(result.errors)")
      videos.append(try #require(try Checkpoint(path: path)["video"]).tensor.floats())
    }
    #expect(videos[0] == videos[1])
    // Sums are divided differently among threads: the last bits may differ.
    let difference = zip(videos[1], videos[2]).map { abs($0 - $1) }.max() ?? 1
    #expect(difference < 1e-4)
    let frames = try FileManager.default.contentsOfDirectory(atPath: folder.path("0")).sorted()
    #expect(frames == (1...5).map { String(format: "frame_%04d.png", $0) } + ["metadata.json"])
  }

  @Test func `several prompts and videos get files and seeds of their own`() throws {
    let folder = TemporaryFolder()
    try "\(prompt)\n\nA blue square rises upwards over a gray background.\n"
      .write(toFile: folder.path("prompts.txt"), atomically: true, encoding: .utf8)
    let result = try Program.run([
      "generate", "--prompt-file", folder.path("prompts.txt"), "--num-videos", "2", "--seed", "7", "--infer-steps", "1",
      "--video-length", "1", "--save-path", folder.path("videos"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path("videos"))
    #expect(files.count == 4 && files.filter { $0.contains("seed7_") }.count == 2)
    #expect(files.filter { $0.contains("seed8_") }.count == 2 && files.allSatisfy { $0.hasSuffix(".mp4") })
  }

  @Test func `initial noise from a file replaces the seed's`() throws {
    let folder = TemporaryFolder()
    let noise = try Goldens.tensors("demo/sampling.safetensors").tensor("initial_noise")
    try SafetensorsWriter.write([("latents", noise)], to: folder.path("noise.safetensors"))
    let result = try Program.run([
      "generate", "--prompt", prompt, "--infer-steps", "1", "--initial-noise", folder.path("noise.safetensors"),
      "--output", folder.path("a.mp4"), "--save-latents", folder.path("l.safetensors"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    let first = try #require(try Checkpoint(path: folder.path("l.safetensors"))["step_000"]).tensor
    #expect(first.floats() == noise.floats())
  }

  @Test func `weights that are not finite end the run with status 1 and name the block and the weight`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let path = model + "/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
    let key = "double_blocks.1.img_mlp.fc1.weight"
    let tensors = try Checkpoint(path: path).tensors.map { tensor -> (name: String, tensor: Tensor) in
      guard tensor.name == key else { return (tensor.name, tensor.tensor) }
      var values = tensor.tensor.floats()
      values[17] = .infinity
      return (tensor.name, Tensor(values, shape: tensor.shape))
    }
    let broken = folder.path("broken.safetensors")
    try SafetensorsWriter.write(tensors, to: broken)
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.moveItem(atPath: broken, toPath: path)
    let result = try Program.run([
      "generate", "--model", model, "--prompt", prompt, "--infer-steps", "2", "--output", folder.path("a.mp4"),
    ])
    #expect(result.status == 1)
    #expect(result.errorLine.contains("double_blocks.1") && result.errorLine.contains(key), "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.mp4")))
  }
}
