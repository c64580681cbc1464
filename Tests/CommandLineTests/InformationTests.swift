import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

@Suite struct InformationTests {
  @Test func `the version and the help are printed with status 0`() throws {
    let version = try Program.run(["--version"])
    #expect(version.status == 0 && version.output.hasPrefix("hyvideo "))
    for arguments in [
      ["--help"], ["generate", "--help"], ["inspect", "--help"], ["tokenize", "--help"], ["compare", "--help"],
      ["calibrate", "--help"],
    ] {
      let help = try Program.run(arguments)
      #expect(help.status == 0 && help.output.contains("xample: hyvideo"), "\(arguments)")
    }
  }

  @Test func `inspect names every network of the demo with its totals`() throws {
    let result = try Program.run(["inspect", Goldens.repositoryPath("Models/demo"), "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let folder = TemporaryFolder()
    try result.output.write(toFile: folder.path("a.json"), atomically: true, encoding: .utf8)
    let parts = try #require(try JSONValue(contentsOf: folder.path("a.json")).array)
    #expect(
      parts.compactMap { $0.object?["part"]?.string } == ["transformer", "vae", "text_encoder", "text_encoder_2"])
    #expect(parts.compactMap { $0.object?["tensor_count"]?.int } == [136, 188, 48, 36])
    #expect(parts[0].object?["architecture"]?.string?.contains("cfgdistill") == true)
  }

  @Test func `inspect shows what is in a folder and says what it lacks`() throws {
    // As diffusers publishes it, but for the tokenizers.
    let result = try Program.run(["inspect", Goldens.path("layouts/diffusers")])
    #expect(result.status == 0, "\(result.errors)")
    for text in ["transformer: HunyuanVideo", "vae: HunyuanVideo", "text_encoder: LLaMA", "text_encoder_2: CLIP"] {
      #expect(result.output.contains(text), "\(text)")
    }
    #expect(result.errors.contains("--tokenizer-path") && result.errors.contains("--tokenizer-2-path"))
    let folder = TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path("diffusion_models"), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("diffusion_models/a.safetensors"),
      withDestinationPath: Goldens.path("layouts/comfy/transformer.safetensors"))
    let single = try Program.run(["inspect", folder.root])
    #expect(single.status == 0 && single.output.contains("ComfyUI folder, names of ComfyUI"), "\(single.errors)")
    #expect(single.errors.contains("vae: missing") && single.errors.contains("--vae-path"))
  }

  @Test func `inspect shows the tensors of a single file and refuses what is none`() throws {
    let file = Goldens.path("transformer/no_guidance/weights.safetensors")
    let result = try Program.run(["inspect", file, "--tensors"])
    #expect(result.status == 0 && result.output.contains("single_blocks.1.linear1.weight"))
    let refused = try Program.run(["inspect", "/nonexistent"])
    #expect(refused.status == 64 && refused.errorLine.contains("/nonexistent"))
  }

  @Test func `tokenize prints both encoders' ids, limits and what would be cut`() throws {
    let tokens = try Goldens.tensors("demo/tokens.safetensors")
    let prompt = "A red ball moves from left to right on a black background."
    let result = try Program.run(["tokenize", "--prompt", prompt, "--json"])
    let folder = TemporaryFolder()
    try result.output.write(toFile: folder.path("a.json"), atomically: true, encoding: .utf8)
    let fields = try #require(try JSONValue(contentsOf: folder.path("a.json")).object)
    for (name, key) in [("text_encoder", "llama"), ("text_encoder_2", "clip")] {
      let encoder = try #require(fields[name]?.object)
      let ids = try #require(encoder["ids"]?.array).compactMap(\.int)
      let mask = try tokens.tensor("\(key).attention_mask").select(0, 0).integers().reduce(0, +)
      #expect(ids == Array(try tokens.tensor("\(key).input_ids").select(0, 0).integers().prefix(mask)))
      #expect(encoder["count"]?.int == ids.count && encoder["limit"]?.int == (key == "llama" ? 351 : 77))
      #expect(encoder["cut_text"] == .null)
    }
    let long = try Program.run(["tokenize", "--prompt", String(repeating: "ball ", count: 400) + "end"])
    #expect(long.status == 0 && long.output.contains("not seen"))
  }
}
