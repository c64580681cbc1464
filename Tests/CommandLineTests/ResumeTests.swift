import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// A run that ends before its time goes on later, with the same bits.
@Suite(.serialized) struct ResumeTests {
  private let settings = [
    "--prompt", "A red ball moves from left to right on a black background.", "--seed", "11", "--infer-steps", "600",
    "--video-length", "1", "--threads", "1",
  ]

  private func generate(_ folder: TemporaryFolder, _ more: [String]) throws -> Program.Result {
    try Program.run(["generate"] + settings + more + ["--output", folder.path("a.mp4")])
  }

  /// The whole run's latents after each step.
  private func uninterrupted(_ folder: TemporaryFolder) throws -> Checkpoint {
    let result = try generate(folder, ["--save-latents", folder.path("whole.safetensors")])
    #expect(result.status == 0, "\(result.errors)")
    try FileManager.default.removeItem(atPath: folder.path("a.mp4"))
    return try Checkpoint(path: folder.path("whole.safetensors"))
  }

  /// Resumes where a run was saved, and compares.
  private func expectSameLatents(_ folder: TemporaryFolder, as whole: Checkpoint) throws {
    let saved = folder.path("a.run.safetensors")
    let result = try Program.run(["generate", "--resume", saved, "--save-latents", folder.path("rest.safetensors")])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output == folder.path("a.mp4") + "\n")
    let rest = try Checkpoint(path: folder.path("rest.safetensors"))
    for tensor in rest.tensors {
      #expect(tensor.tensor.floats() == whole[tensor.name]?.tensor.floats(), "\(tensor.name) differs")
    }
    #expect(rest["latents"] != nil && FileManager.default.fileExists(atPath: folder.path("a.mp4")))
    #expect(!FileManager.default.fileExists(atPath: saved), "the video is whole: its saved run should be gone")
    try FileManager.default.removeItem(atPath: folder.path("a.mp4"))
  }

  @Test func `a run that is killed at any moment goes on with the same bits`() throws {
    let folder = TemporaryFolder()
    let whole = try uninterrupted(folder)
    var resumed = 0
    for moment in [0, 0.02, 0.05, 0.1, 0.2] {
      let process = try Program.start(
        ["generate"] + settings + ["--checkpoint-every", "1", "--output", folder.path("a.mp4")])
      while process.isRunning && !FileManager.default.fileExists(atPath: folder.path("a.run.safetensors")) {
        Thread.sleep(forTimeInterval: 0.001)
      }
      Thread.sleep(forTimeInterval: moment)
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      if FileManager.default.fileExists(atPath: folder.path("a.run.safetensors")) {
        resumed += 1
        try expectSameLatents(folder, as: whole)
      }
      try? FileManager.default.removeItem(atPath: folder.path("a.mp4"))
    }
    #expect(resumed > 0, "no run was killed between its first step and its end")
  }

  @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2])
  func `a signal saves the run, says how to go on and gives the shell's status`(_ signal: Int32) throws {
    let folder = TemporaryFolder()
    let whole = try uninterrupted(folder)
    let process = try Program.start(
      ["generate"] + settings + ["--checkpoint-every", "0", "--output", folder.path("a.mp4")],
      errors: folder.path("errors"))
    while !(try String(contentsOfFile: folder.path("errors"), encoding: .utf8)).contains("denoise: 1/") {
      Thread.sleep(forTimeInterval: 0.001)
      if !process.isRunning { break }
    }
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    #expect(process.terminationStatus == 128 + signal)
    let errors = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    let last = errors.split(separator: "\n").last.map(String.init) ?? ""
    #expect(last.contains("--resume \(folder.path("a.run.safetensors"))"), "\(errors)")
    try expectSameLatents(folder, as: whole)
  }

  /// A handler's frame on the stack of a thread in a matrix product overwrites memory of others.
  @Test func `no thread that computes takes a signal`() throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      [
        "generate", "--prompt", "A red ball.", "--infer-steps", "600", "--threads", "2", "--output",
        folder.path("a.mp4"),
      ],
      errors: folder.path("errors"))
    defer {
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    while try process.isRunning
      && !String(contentsOfFile: folder.path("errors"), encoding: .utf8).contains("denoise: ")
    { Thread.sleep(forTimeInterval: 0.005) }
    let tasks = "/proc/\(process.processIdentifier)/task"
    let open = try FileManager.default.contentsOfDirectory(atPath: tasks).filter { task in
      let status = try String(contentsOfFile: "\(tasks)/\(task)/status", encoding: .utf8)
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("SigBlk:") })
      let blocked = try #require(UInt64(line.split(separator: "\t")[1], radix: 16))
      return [SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM].contains { blocked & 1 << UInt64($0 - 1) == 0 }
    }
    #expect(open.count == 1, "threads \(open) of \(process.processIdentifier) take signals")
    #expect(open.first != "\(process.processIdentifier)")
  }

  @Test(arguments: [[], ["--no-vae-tiling"]])
  func `a signal ends a decode at once, and the latents are kept`(_ flags: [String]) throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      [
        "generate", "--prompt", "A red ball.", "--infer-steps", "1", "--video-size", "320", "320", "--progress", "json",
        "--output", folder.path("a.mp4"),
      ] + flags, errors: folder.path("errors"))
    func errors() throws -> String { try String(contentsOfFile: folder.path("errors"), encoding: .utf8) }
    while try process.isRunning && !errors().contains(#""decode""#) { Thread.sleep(forTimeInterval: 0.005) }
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    let said = try errors()
    #expect(process.terminationStatus == 128 + SIGTERM, "\(said)")
    // Of four, or of the one that there is.
    let tiles = said.split(separator: "\n").filter {
      $0.contains(#""event":"progress""#) && $0.contains(#""stage":"decode""#)
    }
    #expect(tiles.count < (flags.isEmpty ? 3 : 1), "\(said)")
    let resumed = try Program.run(["generate", "--resume", folder.path("a.run.safetensors")])
    #expect(resumed.status == 0 && resumed.output == folder.path("a.mp4") + "\n", "\(resumed.errors)")
  }

  @Test func `another setting, checkpoint or a damaged file is refused by its name`() throws {
    let folder = TemporaryFolder()
    let saved = try savedRun(folder)
    for (flags, word) in [
      (["--seed", "12"], "--seed"), (["--infer-steps", "601"], "--infer-steps"),
      (["--flow-shift", "2"], "--flow-shift"),
      (["--prompt", "A blue square."], "--prompt"), (["--video-size", "64", "80"], "--video-size"),
      (["--num-videos", "2"], "--num-videos"), (["--checkpoint-every", "-1"], "--checkpoint-every"),
      (["--cache", "fbcache"], "--cache: expected --cache none, found --cache fbcache --cache-option rel_l1_thresh="),
    ] {
      let result = try Program.run(["generate", "--resume", saved] + flags)
      #expect(result.status == 64 && result.errorLine.contains(word), "\(flags): \(result.errors)")
    }
    // The same settings again are no contradiction; another checkpoint is.
    let model = try folder.copyOfDemo()
    let path = model + "/hunyuan-video-t2v-720p/vae/pytorch_model.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes[bytes.count - 1] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
    let other = try Program.run(["generate", "--resume", saved, "--model", model] + settings)
    #expect(other.status == 64 && other.errorLine.contains("checkpoint_sha256"), "\(other.errors)")

    // One changed bit, and a file that ends too early.
    var damaged = try Data(contentsOf: URL(fileURLWithPath: saved))
    damaged[damaged.count - 9] ^= 1
    try damaged.write(to: URL(fileURLWithPath: folder.path("bit.safetensors")))
    try damaged.prefix(damaged.count / 2).write(to: URL(fileURLWithPath: folder.path("cut.safetensors")))
    for name in ["bit.safetensors", "cut.safetensors", "whole.safetensors", "absent.safetensors"] {
      let result = try Program.run(["generate", "--resume", folder.path(name)])
      #expect(result.status == 64 && result.errorLine.contains(name), "\(result.errors)")
      #expect(result.errorLine.contains("NAME.run.safetensors") && !result.errorLine.contains("download"))
    }
  }

  /// A run that was stopped after some steps.
  private func savedRun(_ folder: TemporaryFolder) throws -> String {
    let path = folder.path("a.run.safetensors")
    let process = try Program.start(
      ["generate"] + settings + ["--checkpoint-every", "1", "--output", folder.path("a.mp4")])
    while process.isRunning && !FileManager.default.fileExists(atPath: path) { Thread.sleep(forTimeInterval: 0.002) }
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    return path
  }

  @Test func `a failed encoder leaves the latents, and the printed command finishes the video`() throws {
    let folder = TemporaryFolder()
    // An encoder that answers questions and then dies.
    let encoder = folder.path("ffmpeg")
    try """
    #!/bin/sh
    case "$*" in *rawvideo*libx264*) cat > /dev/null & sleep 0.1; kill -9 $$;; *) exec ffmpeg "$@";; esac
    """.write(toFile: encoder, atomically: true, encoding: .utf8)
    chmod(encoder, 0o755)
    let failed = try Program.run(
      ["generate"] + settings + ["--output", folder.path("a b.mp4")], environment: ["HYVIDEO_FFMPEG": encoder])
    #expect(failed.status == 1, "\(failed.errors)")
    try finish(failed)
    let direct = try Program.run(["generate"] + settings + ["--output", folder.path("b.mp4")])
    #expect(direct.status == 0)
    let files = try ["a b.mp4", "b.mp4"].map { try Data(contentsOf: URL(fileURLWithPath: folder.path($0))) }
    #expect(files[0] == files[1], "the same latents, settings and metadata should give the same file")
  }

  /// Runs the command that a failed decode has printed.
  private func finish(_ failed: Program.Result) throws {
    let command = failed.errorLine.components(separatedBy: "finish the video with: hyvideo ").last ?? ""
    #expect(command.hasPrefix("decode "), "\(failed.errors)")
    let result = try Program.run(program: "/bin/sh", ["-c", "'\(Program.path)' \(command)"])
    #expect(result.status == 0, "\(command): \(result.errors)")
  }

  /// Runs where no file may grow beyond a size: to a program that is as a disk that is full.
  private func generate(filesUpTo bytes: Int, _ arguments: [String]) throws -> Program.Result {
    try Program.run(
      program: "/bin/sh",
      ["-c", "ulimit -f \(bytes / 512); exec \"$0\" \"$@\"", Program.path, "generate"] + arguments)
  }

  @Test func `a full disk costs what does not fit on it, and no latents`() throws {
    let folder = TemporaryFolder()
    let run = [
      "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "3", "--threads", "1", "--video-size", "64", "64",
    ]
    // The state of a run has 20 kB of latents.
    let unsaved = try generate(
      filesUpTo: 16 << 10, run + ["--checkpoint-every", "1", "--output", folder.path("frames/")])
    #expect(unsaved.status == 0, "\(unsaved.errors)")
    #expect(unsaved.errors.components(separatedBy: "warning: the run is not saved").count == 2, "\(unsaved.errors)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.root) == ["frames"], "half of a file was left behind")

    // The frames have 800 kB.
    let failed = try generate(
      filesUpTo: 200 << 10, run + ["--output", folder.path("a.mp4"), "--save-frames", folder.path("a.safetensors")])
    #expect(failed.status == 1 && failed.errorLine.contains("a.safetensors"), "\(failed.errors)")
    #expect(FileManager.default.fileExists(atPath: folder.path("a.run.safetensors")))
    try finish(failed)
    #expect(FileManager.default.fileExists(atPath: folder.path("a.mp4")))
  }

  @Test func `a report that does not fit on the disk costs no video, and a status`() throws {
    let folder = TemporaryFolder()
    // Profile and report are larger than this, each video smaller.
    let result = try generate(
      filesUpTo: 6 << 10,
      [
        "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "20", "--video-length", "1", "--num-videos", "2",
        "--output", folder.path("a.mp4"), "--report", folder.path("a.json"), "--profile", folder.path("p.json"),
      ])
    #expect(result.status == 1, "\(result.errors)")
    #expect(result.output == "\(folder.path("a_0.mp4"))\n\(folder.path("a_1.mp4"))\n")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root).sorted() == ["a_0.mp4", "a_1.mp4"])
    for file in ["a_0.json", "a_1.json"] {
      #expect(result.errorLine.contains(folder.path(file)), "\(file): \(result.errors)")
    }
    #expect(result.errors.components(separatedBy: "File too large").count >= 5, "\(result.errors)")
    #expect(result.errors.contains("warning: no profile: ") && !result.errors.contains("NSCocoaErrorDomain"))
  }

  @Test func `a saved run whose latents are no numbers is refused by its name`() throws {
    let folder = TemporaryFolder()
    let saved = try savedRun(folder)
    let file = try Checkpoint(path: saved)
    let latents = try #require(file["latents"]).tensor
    let broken = Tensor(repeating: .nan, shape: latents.shape)
    let hash = broken.floats().withUnsafeBytes { CheckpointDigest.sha256(of: $0) }
    let old = latents.floats().withUnsafeBytes { CheckpointDigest.sha256(of: $0) }
    func digest(_ text: String) -> String { Array(text.utf8).withUnsafeBytes { CheckpointDigest.sha256(of: $0) } }
    // The file says of itself what is in it.
    let sums = [old, hash].map { digest("latents \(latents) \($0)") }
    let run = try #require(file.metadata["run"])
    #expect(run.contains(sums[0]))
    let changed = run.replacing(sums[0], with: sums[1])
    try SafetensorsWriter.write(
      [("latents", broken)],
      metadata: file.metadata.merging(["run": changed, "run_sha256": digest(changed)]) { $1 }, to: saved)
    let result = try Program.run(["generate", "--resume", saved])
    #expect(result.status == 64, "\(result.errors)")
    #expect(result.errorLine.contains("latents are not numbers: \(saved)"), "\(result.errors)")
    #expect(FileManager.default.fileExists(atPath: saved))
  }

  @Test(arguments: [4, 8])
  func `a video whose end does not fit on the disk is no video`(_ kilobytes: Int) throws {
    let folder = TemporaryFolder()
    // The encoder alone meets the end of the disk.
    let encoder = folder.path("ffmpeg")
    try "#!/bin/sh\ntrap '' XFSZ; ulimit -f \(2 * kilobytes); exec ffmpeg \"$@\"\n".write(
      toFile: encoder, atomically: true, encoding: .utf8)
    chmod(encoder, 0o755)
    let output = folder.path("a.mp4")
    let failed = try Program.run(
      ["generate", "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "3", "--output", output],
      environment: ["HYVIDEO_FFMPEG": encoder])
    #expect(failed.status == 1, "\(failed.errors)")
    #expect(!FileManager.default.fileExists(atPath: output), "half a video")
    try finish(failed)
    #expect(FileManager.default.fileExists(atPath: output))
  }

  @Test func `a state that cannot be written costs no video`() throws {
    let folder = TemporaryFolder()
    // A folder in the way of the state file stands for any place that cannot be written.
    try FileManager.default.createDirectory(
      atPath: folder.path("a.run.safetensors/x"), withIntermediateDirectories: true)
    let result = try generate(folder, ["--checkpoint-every", "1"])
    #expect(result.status == 0 && result.errors.contains("warning: the run is not saved"), "\(result.errors)")
    #expect(FileManager.default.fileExists(atPath: folder.path("a.mp4")))
  }

  /// The demo's parts, each by itself: what generate is given file by file.
  private func separateParts(_ folder: TemporaryFolder) throws -> [String] {
    let demo = Goldens.repositoryPath("Models/demo")
    func link(_ source: String, _ name: String) throws -> String {
      let path = folder.path(name)
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "\(demo)/\(source)")
      return path
    }
    let tencent = "hunyuan-video-t2v-720p"
    try FileManager.default.createDirectory(atPath: folder.path("empty"), withIntermediateDirectories: true)
    for part in ["transformers", "vae"] { _ = try link("\(tencent)/\(part)/config.json", "\(part)/config.json") }
    return [
      "--model", folder.path("empty"),
      "--dit-weight",
      try link("\(tencent)/transformers/mp_rank_00_model_states.safetensors", "transformers/a.safetensors"),
      "--vae-path", try link("\(tencent)/vae/pytorch_model.safetensors", "vae/b c.safetensors"),
      "--text-encoder-path", try link("text_encoder", "llama"),
      "--text-encoder-2-path", try link("text_encoder_2", "clip"),
      "--tokenizer-path", "\(demo)/text_encoder", "--tokenizer-2-path", "\(demo)/text_encoder_2",
    ]
  }

  @Test func `a run of single files is finished and resumed by what it prints`() throws {
    let folder = TemporaryFolder()
    let run = ["generate", "--prompt", "A red ball.", "--seed", "1", "--threads", "1", "--video-size", "64", "64"]
    let sized = run + ["--video-length", "5", "--infer-steps", "3"] + (try separateParts(folder))
    // An encoder that answers questions and then fails.
    let encoder = folder.path("ffmpeg")
    try "#!/bin/sh\ncase \"$*\" in *rawvideo*libx264*) exit 1;; *) exec ffmpeg \"$@\";; esac\n".write(
      toFile: encoder, atomically: true, encoding: .utf8)
    chmod(encoder, 0o755)
    let failed = try Program.run(sized + ["--output", folder.path("a.mp4")], environment: ["HYVIDEO_FFMPEG": encoder])
    #expect(failed.status == 1 && failed.errorLine.contains("--vae-path '\(folder.path("vae/b c.safetensors"))'"))
    // Decoding needs no other part.
    for name in ["transformers", "llama", "clip"] {
      try FileManager.default.moveItem(atPath: folder.path(name), toPath: folder.path("away-\(name)"))
    }
    try finish(failed)
    #expect(FileManager.default.fileExists(atPath: folder.path("a.mp4")))
    for name in ["transformers", "llama", "clip"] {
      try FileManager.default.moveItem(atPath: folder.path("away-\(name)"), toPath: folder.path(name))
    }
    let resumed = try Program.run(["generate", "--resume", folder.path("a.run.safetensors")])
    #expect(resumed.status == 0, "\(resumed.errors)")
  }

  @Test(arguments: ["hunyuan-video-t2v-720p/vae", "vae"])
  func `a folder that has only an autoencoder decodes, and nothing else`(_ place: String) throws {
    let folder = TemporaryFolder()
    let path = folder.path("model/\(place)")
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: path, withDestinationPath: Goldens.repositoryPath("Models/demo/hunyuan-video-t2v-720p/vae"))
    try SafetensorsWriter.write(
      [("latents", Tensor(repeating: 0.5, shape: [1, 16, 2, 8, 8]))], to: folder.path("l.safetensors"))
    func frames(_ model: String, _ name: String) throws -> [Float] {
      let result = try Program.run([
        "decode", folder.path("l.safetensors"), "--model", model, "--output", folder.path("\(name)/"), "--save-frames",
        folder.path("\(name).safetensors"),
      ])
      #expect(result.status == 0, "\(result.errors)")
      return try #require(Checkpoint(path: folder.path("\(name).safetensors"))["video"]).tensor.floats()
    }
    #expect(try frames(folder.path("model"), "own") == frames(Goldens.repositoryPath("Models/demo"), "demo"))
    let generated = try generate(folder, ["--model", folder.path("model")])
    #expect(generated.status == 64, "\(generated.errors)")
    #expect(generated.errorLine.contains("missing HunyuanVideo transformer weights"), "\(generated.errors)")
  }

  @Test func `decode refuses what holds no latents of this checkpoint`() throws {
    let folder = TemporaryFolder()
    try SafetensorsWriter.write(
      [("latents", Tensor(repeating: 0, shape: [1, 3, 1, 8, 8]))], to: folder.path("three.safetensors"))
    try SafetensorsWriter.write(
      [("latents", Tensor(repeating: .nan, shape: [1, 16, 1, 8, 8]))], to: folder.path("nan.safetensors"))
    try SafetensorsWriter.write(
      [("other", Tensor(repeating: 0, shape: [1, 16, 1, 8, 8]))], to: folder.path("other.safetensors"))
    try SafetensorsWriter.write(
      [("latents", Tensor(repeating: 0, shape: [1, 16, 1, 8, 8]))], to: folder.path("good.safetensors"))
    for (name, word) in [
      ("three.safetensors", "[1, 16, F, H, W]"), ("nan.safetensors", "NaN"), ("other.safetensors", "latents"),
      ("absent.safetensors", "absent"),
    ] {
      let result = try Program.run(["decode", folder.path(name), "--output", folder.path("a.mp4")])
      #expect(result.status == 64 && result.errorLine.contains(word), "\(result.errors)")
    }
    let missing = try Program.run(["decode", folder.path("good.safetensors")])
    #expect(missing.status == 64 && missing.errorLine.contains("--output"))
    try "text".write(toFile: folder.path("text.safetensors"), atomically: true, encoding: .utf8)
    for name in ["absent", "text"] {
      let result = try Program.run(["decode", folder.path("\(name).safetensors"), "--output", folder.path("a.mp4")])
      #expect(result.errorLine.contains("--save-latents") && !result.errorLine.contains("download"), "\(result.errors)")
    }
    let decode = ["decode", folder.path("good.safetensors"), "--output", folder.path("frames/"), "--progress"]
    let unknown = try Program.run(decode + ["bar"])
    #expect(unknown.status == 64 && unknown.errorLine.contains("--progress"), "\(unknown.errors)")
    let good = try Program.run(decode + ["json"])
    #expect(good.status == 0, "\(good.errors)")
    let lines = good.errors.split(separator: "\n")
    #expect(!lines.isEmpty && lines.allSatisfy { $0.hasPrefix("{\"") && $0.hasSuffix("}") }, "\(good.errors)")
  }
}
