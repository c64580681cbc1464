import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// `hyvideo convert` of whole checkpoints.
@Suite struct ConvertFolderTests {
  private let demo = Goldens.repositoryPath("Models/demo")

  /// The latents and frames of a very short video.
  private func video(
    _ model: String, in folder: TemporaryFolder, _ flags: [String] = []
  ) throws -> (latents: Tensor, frames: Tensor) {
    let name = UUID().uuidString
    let result = try Program.run(
      [
        "generate", "--model", model, "--prompt", "A red ball moves up on a black background.", "--seed", "5",
        "--video-size", "64", "64", "--video-length", "5", "--infer-steps", "2", "--output", folder.path("\(name)/"),
        "--save-latents", folder.path("\(name).l.safetensors"), "--save-frames",
        folder.path("\(name).f.safetensors"),
      ] + flags)
    #expect(result.status == 0, "\(result.errors)")
    let latents = try Checkpoint(path: folder.path("\(name).l.safetensors"))["latents"]
    let frames = try Checkpoint(path: folder.path("\(name).f.safetensors"))["video"]
    return (try #require(latents).tensor, try #require(frames).tensor)
  }

  @Test func `a converted folder makes the same video, bit for bit where types are kept`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(["convert", demo, "--output", folder.path("ckpts")])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("double_blocks.*.img_attn_qkv.weight: f16"))
    #expect(
      result.output.split(separator: "\n").allSatisfy { !$0.contains("relative error") || $0.hasSuffix("0.00e+00") })
    #expect(result.output.hasSuffix(folder.path("ckpts") + "\n"))
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path("ckpts")).sorted()
    #expect(
      names.filter { $0.contains(".") && !$0.contains("tokenizer") } == [
        "hunyuan-video-t2v-720p/transformers/config.json",
        "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors",
        "hunyuan-video-t2v-720p/vae/config.json", "hunyuan-video-t2v-720p/vae/pytorch_model.safetensors", "model.json",
        "text_encoder/config.json", "text_encoder/model.safetensors", "text_encoder/special_tokens_map.json",
        "text_encoder_2/config.json", "text_encoder_2/merges.txt", "text_encoder_2/model.safetensors",
        "text_encoder_2/special_tokens_map.json", "text_encoder_2/vocab.json",
      ])
    let (own, converted) = (try video(demo, in: folder), try video(folder.path("ckpts"), in: folder))
    #expect(own.latents.floats() == converted.latents.floats() && own.frames.floats() == converted.frames.floats())
    let inspected = try Program.run(["inspect", folder.path("ckpts")])
    #expect(inspected.output.contains("Tencent folder") && inspected.output.contains("tokenizer: tokenizer.json"))
  }

  @Test func `single files of another arrangement become a folder with their tokenizers`() throws {
    let folder = TemporaryFolder()
    let tencent = "hunyuan-video-t2v-720p"
    for (name, source) in [
      ("diffusion_models/video.safetensors", "\(tencent)/transformers/mp_rank_00_model_states.safetensors"),
      ("diffusion_models/config.json", "\(tencent)/transformers/config.json"),
      ("vae/vae.safetensors", "\(tencent)/vae/pytorch_model.safetensors"),
      ("vae/config.json", "\(tencent)/vae/config.json"),
      ("text_encoders/llava_llama3.safetensors", "text_encoder/model.safetensors"),
      ("text_encoders/config.json", "text_encoder/config.json"),
    ] {
      let path = folder.path("comfy/\(name)")
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "\(demo)/\(source)")
    }
    // The second folder is there, and empty.
    try FileManager.default.createDirectory(atPath: folder.path("ckpts"), withIntermediateDirectories: true)
    let flags = [
      "--tokenizer-path", "\(demo)/text_encoder", "--tokenizer-2-path", "\(demo)/text_encoder_2",
      "--text-encoder-2-path", "\(demo)/text_encoder_2",
    ]
    let result = try Program.run(
      ["convert", folder.path("comfy"), "--dtype", "f32", "--output", folder.path("ckpts/")] + flags)
    #expect(result.status == 0, "\(result.errors)")
    // No defaults beside it: the template of the release, which is longer than the demo's text.
    let own = try video(folder.path("comfy"), in: folder, flags)
    let converted = try video(folder.path("ckpts"), in: folder)
    expectClose(converted.latents, own.latents, relative: 1e-5, "latents")
    expectClose(converted.frames, own.frames, relative: 1e-5, "frames")
  }

  @Test func `a folder in blocks makes nearly the same video`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(["convert", "--model", demo, "--dtype", "q8_0", "--output", folder.path("ckpts")])
    #expect(result.status == 0, "\(result.errors)")
    #expect(FileSystem.isFile(folder.path("ckpts/text_encoder/model.gguf")))
    let (own, converted) = (try video(demo, in: folder), try video(folder.path("ckpts"), in: folder))
    let difference = try relative(converted.latents, own.latents)
    #expect(difference > 0 && difference < 0.02)
  }

  private func relative(_ a: Tensor, _ b: Tensor) throws -> Float {
    let (x, y) = (a.floats(), b.floats())
    try #require(x.count == y.count)
    let error = zip(x, y).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return (error / y.reduce(0) { $0 + $1 * $1 }).squareRoot()
  }

  @Test func `a killed conversion of a folder leaves nothing, and the next one clears up`() throws {
    let folder = TemporaryFolder()
    // A process that is gone.
    let gone = Process()
    gone.executableURL = URL(fileURLWithPath: "/bin/true")
    try gone.run()
    gone.waitUntilExit()
    let leftover = folder.path("ckpts.\(gone.processIdentifier).partial")
    try FileManager.default.createDirectory(atPath: leftover + "/text_encoder", withIntermediateDirectories: true)
    let result = try Program.run(["convert", demo, "--output", folder.path("ckpts")])
    #expect(result.status == 0, "\(result.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root) == ["ckpts"])
  }

  @Test func `a folder whose parts do not fit, and a place that is taken, are refused before any work`() throws {
    let folder = TemporaryFolder()
    try "mine".write(toFile: folder.path("mine"), atomically: true, encoding: .utf8)
    for (flags, named) in [
      (["--output", folder.root], "empty"),
      (
        ["--output", folder.path("x"), "--dit-weight", Goldens.path("layouts/comfy/transformer.safetensors")],
        "channels"
      ),
      (["--output", folder.path("x"), "--double-blocks", "2"], "--random"),
      (["--output", folder.path("x"), "--dtype", "int3"], "keep"),
    ] {
      let result = try Program.run(["convert", demo] + flags)
      #expect(result.status == 64 && result.errorLine.contains(named), "\(result.errors)")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root) == ["mine"])
  }

  @Test func `sizes that only notes of a GGUF file tell are written beside the result`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run([
      "convert", Goldens.path("layouts/llama_cpp/model.gguf"), "--output", folder.path("model.safetensors"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    let inspected = try Program.run(["inspect", folder.path("model.safetensors")])
    #expect(inspected.output.contains("3 layers, width 48, 6 heads over 3 key heads, vocabulary 310"))
    // The rows of queries are in their first order again.
    let name = "model.layers.0.self_attn.q_proj.weight"
    let converted = try Checkpoint(path: folder.path("model.safetensors"))[name]
    let original = try Checkpoint(path: Goldens.path("llama/six_heads/weights.safetensors"))[name]
    #expect(try #require(converted).tensor.floats() == (try #require(original)).tensor.floats())
  }
}
