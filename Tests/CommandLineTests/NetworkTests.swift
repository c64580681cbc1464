import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// Networks that are not run, as the program's users meet them: every command that opens one says its name before any work.
@Suite struct NetworkTests {
  private let prompt = ["--prompt", "A red ball moves up.", "--infer-steps", "1", "--video-length", "1"]
  private static let transformer = "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"

  /// Writes the demo's transformer with other and more tensors, all zero, with its configuration beside it.
  private func file(
    in folder: TemporaryFolder, _ changed: [String: Shape], inputs: Int = 16
  ) throws -> String {
    let source = Goldens.repositoryPath("Models/demo/\(Self.transformer)")
    var tensors = try Checkpoint(path: source).tensors.map { stored in
      (name: stored.name, tensor: changed[stored.name].map { Tensor(repeating: 0, shape: $0) } ?? stored.tensor)
    }
    let known = Set(tensors.map(\.name))
    tensors += changed.filter { !known.contains($0.key) }.sorted { $0.key < $1.key }
      .map { ($0.key, Tensor(repeating: 0, shape: $0.value)) }
    let path = folder.path("x.safetensors")
    try SafetensorsWriter.write(tensors, to: path)
    let configuration = (source as NSString).deletingLastPathComponent + "/config.json"
    let text = try String(contentsOfFile: configuration, encoding: .utf8)
      .replacingOccurrences(of: "\"in_channels\": 16", with: "\"in_channels\": \(inputs)")
    try text.write(toFile: folder.path("config.json"), atomically: true, encoding: .utf8)
    return path
  }

  private func imageToVideo(in folder: TemporaryFolder) throws -> String {
    try file(in: folder, ["img_in.proj.weight": [128, 33, 1, 2, 2]], inputs: 33)
  }

  /// Commands that open a transformer; `FILE` and `FOLDER` stand for paths.
  static let commands: [[String]] = [
    ["generate", "--prompt", "x", "--dit-weight", "FILE", "--output", "FOLDER/a.mp4"],
    ["plan", "--dit-weight", "FILE"], ["calibrate", "--dit-weight", "FILE", "--output", "FOLDER/c.json"],
    ["verify", "--ranks", "2", "--dit-weight", "FILE"],
    ["bench", "step", "--dit-weight", "FILE", "--overhead", "offload"],
    ["convert", "FILE", "--output", "FOLDER/y.safetensors"], ["decode", "FILE", "--output", "FOLDER/a.mp4"],
    ["generate", "--prompt", "x", "--dit-weight", "FILE", "--output", "FOLDER/a.mp4", "--preview", "1"],
    ["generate", "--prompt", "x", "--model", "FILE", "--output", "FOLDER/a.mp4"],
    ["generate", "--prompt", "x", "--vae-path", "FILE", "--output", "FOLDER/a.mp4"],
  ]

  @Test(arguments: commands)
  func `a transformer of image to video is refused by name by every command, before any work`(
    _ command: [String]
  ) throws {
    let folder = TemporaryFolder()
    let path = try imageToVideo(in: folder)
    let arguments = command.map {
      $0.replacingOccurrences(of: "FILE", with: path).replacingOccurrences(of: "FOLDER", with: folder.root)
    }
    let result = try Program.run(arguments)
    #expect(result.status == 64, "\(command): \(result.status) \(result.errors)")
    if command[0] != "decode" && !command.contains("--vae-path") {
      #expect(result.errorLine.contains("image-to-video"), "\(command): \(result.errors)")
    }
    #expect(result.errorLines.count == 1, "\(result.errors)")
  }

  @Test func `inspect says what a network of 33 input channels is`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(["inspect", imageToVideo(in: folder)])
    #expect(result.status == 0, "\(result.errors)")
    for words in ["image-to-video transformer (33 input channels", "not run", "latents of 33 channels, velocity of 16"]
    {
      #expect(result.output.contains(words), "\(result.output)")
    }
    #expect(!result.output.contains("HYVideo-T/2"))
  }

  @Test func `a transformer of HunyuanVideo 1_5 is refused by that name and shown by it`() throws {
    let folder = TemporaryFolder()
    let path = try file(
      in: folder,
      ["vision_in.proj.0.weight": [4], "byt5_in.fc1.weight": [4, 4], "cond_type_embedding.weight": [3, 4]])
    let refused = try Program.run(["generate"] + prompt + ["--dit-weight", path, "--output", folder.path("a.mp4")])
    #expect(refused.status == 64 && refused.errorLine.contains("HunyuanVideo-1.5"), "\(refused.errors)")
    #expect(!refused.errorLine.contains("config.json"))
    let shown = try Program.run(["inspect", path])
    #expect(shown.status == 0 && shown.output.contains("HunyuanVideo-1.5 transformer: not run"), "\(shown.output)")
  }

  @Test func `a LoRA in a transformer's place is refused as a LoRA`() throws {
    let folder = TemporaryFolder()
    let path = folder.path("lora.safetensors")
    try SafetensorsWriter.write(
      [
        ("diffusion_model.double_blocks.0.img_attn_qkv.lora_A.weight", Tensor(repeating: 0, shape: [4, 128])),
        ("diffusion_model.double_blocks.0.img_attn_qkv.lora_B.weight", Tensor(repeating: 0, shape: [384, 4])),
      ], to: path)
    let result = try Program.run(["generate"] + prompt + ["--dit-weight", path, "--output", folder.path("a.mp4")])
    #expect(
      result.status == 64 && result.errorLine.contains("a LoRA") && result.errorLine.contains("merge"),
      "\(result.errors)")
  }

  @Test func `the folder of a checkpoint in the Hugging Face cache makes the video of its snapshot`() throws {
    let folder = TemporaryFolder()
    let root = folder.path("models--a--b")
    try FileManager.default.createDirectory(atPath: root + "/snapshots", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: root + "/snapshots/0123abcd", withDestinationPath: Goldens.repositoryPath("Models/demo"))
    let result = try Program.run(
      ["generate"] + prompt + ["--video-size", "32", "48", "--model", root, "--output", folder.path("a.mp4")])
    #expect(result.status == 0, "\(result.errors)")
    let shown = try Program.run(["inspect", root])
    #expect(shown.status == 0 && shown.output.contains("transformer: HunyuanVideo transformer"), "\(shown.output)")
  }

  @Test func `parts in ComfyUI's subfolders make the video`() throws {
    let folder = TemporaryFolder()
    let parts = [
      ("diffusion_models/hunyuan", Self.transformer),
      ("vae/hunyuan", "hunyuan-video-t2v-720p/vae/pytorch_model.safetensors"),
      ("text_encoders/hunyuan", "text_encoder/model.safetensors"),
      ("text_encoders/clip", "text_encoder_2/model.safetensors"),
    ]
    for (place, file) in parts {
      let source = Goldens.repositoryPath("Models/demo/\(file)") as NSString
      try FileManager.default.createDirectory(atPath: folder.path(place), withIntermediateDirectories: true)
      for name in [source.lastPathComponent, "config.json"] {
        try FileManager.default.createSymbolicLink(
          atPath: folder.path(place) + "/" + name, withDestinationPath: source.deletingLastPathComponent + "/" + name)
      }
    }
    let result = try Program.run(
      ["generate"] + prompt + [
        "--video-size", "32", "48", "--model", folder.root, "--output", folder.path("a.mp4"),
        "--tokenizer-path", Goldens.repositoryPath("Models/demo/text_encoder"),
        "--tokenizer-2-path", Goldens.repositoryPath("Models/demo/text_encoder_2"),
      ])
    #expect(result.status == 0, "\(result.errors)")
  }

  // MARK: Settings

  @Test func `the shift of a folder's scheduler is told, and a flag comes before it`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    try FileManager.default.removeItem(atPath: model + "/model.json")
    try FileManager.default.createDirectory(atPath: model + "/scheduler", withIntermediateDirectories: true)
    let scheduler = model + "/scheduler/scheduler_config.json"
    try #"{"_class_name":"FlowMatchEulerDiscreteScheduler","shift":3.5}"#.write(
      toFile: scheduler, atomically: true, encoding: .utf8)
    func latents(_ flags: [String]) throws -> (latents: [Float], said: String) {
      let file = folder.path("latents.safetensors")
      let result = try Program.run(
        [
          "generate", "--model", model, "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "2",
          "--video-length", "1",
        ]
          + ["--video-size", "32", "32", "--output", folder.path("a.mp4"), "--save-latents", file] + flags)
      #expect(result.status == 0, "\(result.errors)")
      let tensors = try Checkpoint(path: file).tensors
      return (tensors.flatMap { $0.dtype == .float32 ? $0.tensor.floats() : [] }, result.errors)
    }
    let own = try latents([])
    #expect(own.said.contains("flow shift 3.5, of \(scheduler)"), "\(own.said)")
    let given = try latents(["--flow-shift", "3.5"])
    #expect(given.latents == own.latents && !given.said.contains("of \(scheduler)"))
    #expect(try latents(["--flow-shift", "7"]).latents != own.latents)
  }

  @Test(arguments: [
    ("text_encoder/config.json", #""sliding_window": 64,"#, "sliding_window"),
    ("text_encoder/config.json", #""mystery": 64,"#, "mystery"),
    ("text_encoder/tokenizer_config.json", #""add_prefix_space": true,"#, "add_prefix_space"),
    ("text_encoder_2/config.json", #""mystery": true,"#, "mystery"),
    ("hunyuan-video-t2v-720p/vae/config.json", #""shift_factor": 0.5,"#, "shift_factor"),
    ("hunyuan-video-t2v-720p/transformers/config.json", #""image_condition_type": "token_replace","#, "image-to-video"),
    ("model.json", #""mystery": 1,"#, "mystery"),
  ])
  func `a setting that would be passed over in silence is refused before any work`(
    _ file: String, _ field: String, _ word: String
  ) throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let text = try String(contentsOfFile: "\(model)/\(file)", encoding: .utf8)
    try ("{" + field + text.drop { $0 != "{" }.dropFirst()).write(
      toFile: "\(model)/\(file)", atomically: true, encoding: .utf8)
    let result = try Program.run(["generate"] + prompt + ["--model", model, "--output", folder.path("a.mp4")])
    #expect(result.status == 64 && result.errorLine.contains(word), "\(result.errors)")
  }
}
