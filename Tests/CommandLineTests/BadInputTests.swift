import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// What cannot work is refused with status 64 and one line, before anything is computed.
@Suite struct BadInputTests {
  private let prompt = ["--prompt", "A red ball moves from left to right."]

  private func expectRefused(
    _ arguments: [String], naming words: [String], environment: [String: String] = [:],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let result = try Program.run(["generate"] + arguments, environment: environment)
    #expect(result.status == 64, "\(arguments): \(result.errors)", sourceLocation: sourceLocation)
    #expect(result.output.isEmpty, sourceLocation: sourceLocation)
    #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)", sourceLocation: sourceLocation)
    for word in words {
      #expect(result.errorLine.contains(word), "\(result.errors) lacks \(word)", sourceLocation: sourceLocation)
    }
  }

  static let flags: [([String], [String])] = [
    (["--video-length", "16"], ["--video-length", "13", "17"]),
    (["--video-size", "0", "64"], ["--video-size", "height"]),
    (["--video-size", "64"], ["--video-size"]),
    (["--video-size", "1000000000", "1000000000"], ["too large"]),
    (["--video-size", "99999999999999999999", "64"], ["--video-size"]),
    (["--infer-steps", "0"], ["--infer-steps"]),
    (["--fps", "0"], ["--fps"]),
    (["--threads", "0"], ["--threads"]),
    (["--num-videos", "0"], ["--num-videos"]),
    (["--device", "cuda"], ["--device", "cpu"]),
    (["--output", "video.avi"], ["--output", ".mp4"]),
    (["--cfg-scale", "nan"], ["--cfg-scale"]),
    (["--unknown-flag"], ["--unknown-flag"]),
    (["--initial-noise", "/nonexistent.safetensors"], ["/nonexistent.safetensors"]),
    (["--model", "/nonexistent"], ["/nonexistent"]),
    (["--dit-weight", "/nonexistent.safetensors"], ["--dit-weight"]),
    (["--output", "/proc/video.mp4"], ["/proc"]),
  ]

  @Test(arguments: flags)
  func `an impossible flag is refused`(_ flag: (arguments: [String], words: [String])) throws {
    try expectRefused(prompt + flag.arguments, naming: flag.words)
  }

  #if arch(x86_64)
    @Test(arguments: ["bf16", "int8"])
    func `products that the processor has no instructions for are refused`(_ precision: String) throws {
      try expectRefused(
        prompt + ["--precision", precision], naming: ["--precision", "fp32 on this device", "found \(precision)"],
        environment: ["DNNL_MAX_CPU_ISA": "AVX2"])
    }
  #endif

  @Test func `a missing or empty prompt is refused`() throws {
    try expectRefused([], naming: ["--prompt"])
    try expectRefused(["--prompt", "  "], naming: ["--prompt", "empty"])
    try expectRefused(["--prompt-file", "/nonexistent.txt"], naming: ["/nonexistent.txt"])
  }

  @Test func `a machine without ffmpeg is told so before any work`() throws {
    try expectRefused(prompt, naming: ["ffmpeg"], environment: ["HYVIDEO_FFMPEG": "/nonexistent/ffmpeg"])
  }

  @Test(
    arguments: [
      "text_encoder/tokenizer.json", "text_encoder/config.json", "text_encoder/model.safetensors",
      "text_encoder_2/vocab.json", "hunyuan-video-t2v-720p/vae/config.json",
      "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors",
    ])
  func `a folder without a needed file is refused by the file's name`(_ file: String) throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    try FileManager.default.removeItem(atPath: "\(model)/\(file)")
    if file.hasSuffix("vocab.json") {
      try FileManager.default.removeItem(atPath: "\(model)/text_encoder_2/tokenizer.json")
    }
    try expectRefused(
      prompt + ["--model", model, "--output", folder.path("a.mp4")],
      naming: [
        (file as NSString).lastPathComponent.hasSuffix("safetensors") ? model : (file as NSString).lastPathComponent
      ])
  }

  @Test func `initial noise of another shape is refused before any work`() throws {
    let folder = TemporaryFolder()
    let noise = Tensor(repeating: 0, shape: [1, 16, 2, 8, 8])
    try SafetensorsWriter.write([("latents", noise)], to: folder.path("noise.safetensors"))
    try expectRefused(
      prompt + ["--initial-noise", folder.path("noise.safetensors"), "--output", folder.path("a.mp4")],
      naming: ["--initial-noise", "[1, 16, 5, 12, 16]"])
  }

  @Test func `a tokenizer with more ids than the encoder has rows is refused`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let path = "\(model)/text_encoder_2/vocab.json"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let longer = "{\"zzzz\": 5000, " + text.drop { $0 != "{" }.dropFirst()
    try longer.write(toFile: path, atomically: true, encoding: .utf8)
    try expectRefused(
      prompt + ["--model", model, "--output", folder.path("a.mp4")], naming: ["tokenizer", "text_encoder_2", "5001"])
  }

  @Test func `a truncated or lying weight file is refused`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let path = "\(model)/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    var long = whole
    long.replaceSubrange(0..<8, with: [255, 255, 255, 255, 255, 255, 255, 127])
    for broken in [whole.prefix(whole.count / 2), whole.prefix(100), whole.prefix(5), Data(), long] {
      try broken.write(to: URL(fileURLWithPath: path))
      try expectRefused(
        prompt + ["--model", model, "--output", folder.path("a.mp4")], naming: ["mp_rank_00_model_states.safetensors"])
    }
  }

  @Test func `a weight of the wrong shape, a missing and an extra weight are refused by name`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let path = "\(model)/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
    let tensors = try Checkpoint(path: path).tensors.map { (name: $0.name, tensor: $0.tensor) }
    let key = "single_blocks.2.linear2.bias"
    let arguments = prompt + ["--model", model, "--output", folder.path("a.mp4")]

    func write(_ tensors: [(name: String, tensor: Tensor)]) throws {
      try SafetensorsWriter.write(tensors, to: folder.path("new.safetensors"))
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.moveItem(atPath: folder.path("new.safetensors"), toPath: path)
    }
    try write(tensors.filter { $0.name != key })
    try expectRefused(arguments, naming: ["missing", key])
    try write(tensors.map { $0.name == key ? (key, $0.tensor.slice(0, 0..<5)) : $0 })
    try expectRefused(arguments, naming: ["wrong shape", key, "[5]"])
    try write(tensors + [("single_blocks.9.linear2.bias", tensors[0].tensor)])
    try expectRefused(arguments, naming: ["unused", "single_blocks.9.linear2.bias"])
  }
}

/// Outputs that cannot be written are found before any work, and nothing is written over that is no file.
@Suite struct OutputTests {
  private let prompt = ["generate", "--prompt", "A red ball moves up.", "--infer-steps", "1", "--video-length", "1"]

  @Test(
    arguments: [
      ["--report", "FOLDER"], ["--save-latents", "FOLDER"], ["--save-frames", "FOLDER/"], ["--report", ""],
      ["--save-latents", "/dev/null"], ["--output", "/"], ["--save-frames", "FOLDER/a.mp4"],
      ["--save-latents", "FOLDER/x", "--report", "FOLDER/./x"],
    ])
  func `an impossible output is refused`(_ flags: [String]) throws {
    let folder = TemporaryFolder()
    let arguments = flags.map { $0.replacingOccurrences(of: "FOLDER", with: folder.root) }
    let result = try Program.run(prompt + ["--output", folder.path("a.mp4")] + arguments)
    #expect(result.status == 64, "\(flags): \(result.errors)")
    #expect(result.errors.split(separator: "\n").count == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root).isEmpty)
  }

  @Test func `names of one character are names`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(
      prompt + ["--output", "d/", "--report", "r", "--save-latents", "l"], in: folder.root)
    #expect(result.status == 0, "\(result.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root).sorted() == ["d", "l", "r"])
  }

  @Test func `a reader that goes away does not end the run`() throws {
    let folder = TemporaryFolder()
    let command =
      "'\(Program.path)' \(prompt.map { "'\($0)'" }.joined(separator: " ")) --output '\(folder.path("a.mp4"))'"
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments = ["-c", "\(command) 2>&1 >/dev/null | true; \(command) 2>&-"]
    shell.standardOutput = FileHandle.nullDevice
    try shell.run()
    shell.waitUntilExit()
    #expect(shell.terminationStatus == 0)
    #expect(FileManager.default.fileExists(atPath: folder.path("a.mp4")))
  }

  @Test func `a result that cannot be printed is an error`() throws {
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments = ["-c", "'\(Program.path)' tokenize --prompt x 2>/dev/null >&-"]
    try shell.run()
    shell.waitUntilExit()
    #expect(shell.terminationStatus == 1)
  }
}
