import Foundation
import TensorTesting
import Testing

/// What can be known to fail is refused before any work, by a run and by its plan.
@Suite struct EarlyRefusalTests {
  private let prompt = ["--prompt", "A red ball.", "--infer-steps", "1", "--video-length", "1"]

  @Test(
    arguments: [
      (["--preview", "0"], "--preview"), (["--preview", "-1"], "--preview"), (["--fps", "0"], "--fps"),
      (["--fps", "1001"], "--fps"), (["--checkpoint-every", "-1"], "--checkpoint-every"),
      (["--progress", "loud"], "--progress"), (["--output", "a.avi"], "--output"),
      (["--video-size", "16", "16400"], "frames/"), (["--video-size", "17008", "16"], "frames/"),
      (["--video-size", "16384", "16384"], "frames too large"),
      (["--video-size", "32768", "32768", "--output", "frames/"], "frames too large"),
    ])
  func `a run and its plan refuse the same flags`(_ flags: [String], _ word: String) throws {
    let folder = TemporaryFolder()
    for command in ["generate", "plan"] {
      let result = try Program.run([command] + prompt + flags, in: folder.root)
      #expect(result.status == 64, "\(command) \(flags): \(result.errors)")
      #expect(result.errorLine.contains(word), "\(command) \(flags): \(result.errors)")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root).filter { $0 != "results" }.isEmpty)
  }

  @Test func `a side that no H264 file has can be had as pictures`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(
      ["generate"] + prompt + ["--video-size", "16", "16400", "--output", "frames/"], in: folder.root)
    #expect(result.status == 0, "\(result.errors)")
    #expect(FileManager.default.fileExists(atPath: folder.path("frames/frame_0001.png")))
  }

  @Test(arguments: [255, 251, 245, 240])
  func `a run of any name is saved or refused at the start`(_ length: Int) throws {
    let folder = TemporaryFolder()
    // Names are counted in bytes; a letter here has two.
    let stem = String(repeating: "é", count: (length - 4) / 2)
    let path = folder.path(stem + (length % 2 == 1 ? "x" : "") + ".mp4")
    let process = try Program.start(
      ["generate", "--prompt", "A red ball.", "--infer-steps", "5000", "--video-length", "5", "--output", path]
        + ["--preview", "1"], errors: folder.path("errors"))
    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.root) }
    while process.isRunning, try !names().contains(where: { $0.hasSuffix(".preview.png") }) {
      Thread.sleep(forTimeInterval: 0.01)
    }
    kill(process.processIdentifier, SIGINT)
    process.waitUntilExit()
    let errors = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    #expect(process.terminationStatus == 130, "\(errors)")
    #expect(!errors.contains("no previews"), "\(errors)")
    let saved = try #require(names().first { $0.hasSuffix(".run.safetensors") }, "\(errors)")
    #expect(saved.hasPrefix("éééé") && errors.contains(saved))
    #expect(try names().contains { $0.hasSuffix(".preview.png") })
    let plan = try Program.run(["plan", "--resume", folder.path(saved)])
    #expect(plan.status == 0, "\(plan.errors)")
  }

  @Test func `a name that is too long is refused`() throws {
    let folder = TemporaryFolder()
    let long = folder.path(String(repeating: "v", count: 252) + ".mp4")
    for flags in [
      ["--output", long], ["--output", "a.mp4", "--report", long], ["--output", "a.mp4", "--profile", long],
    ] {
      let result = try Program.run(["generate"] + prompt + flags, in: folder.root)
      #expect(result.status == 64 && result.errorLine.contains("too long"), "\(result.errors)")
    }
  }

  @Test func `no command waits for a pipe that stands for a file`() throws {
    let folder = TemporaryFolder()
    let pipe = folder.path("pipe")
    mkfifo(pipe, 0o600)
    let model = try folder.copyOfDemo()
    let generate = ["generate"] + prompt + ["--output", folder.path("a.mp4")]
    for flag in ["--dit-weight", "--vae-path", "--text-encoder-path", "--initial-noise", "--resume", "--config"] {
      try expectRefused(generate + [flag, pipe], pipe)
    }
    for command in [
      ["decode", pipe], ["inspect", pipe], ["convert", pipe, "--output", folder.path("b.safetensors")],
      ["report", pipe], ["profile", "summary", pipe], ["compare", pipe, pipe], ["reproduce", pipe],
    ] { try expectRefused(command, pipe) }
    for file in ["text_encoder/tokenizer_config.json"] {
      let path = "\(model)/\(file)"
      try? FileManager.default.removeItem(atPath: path)
      mkfifo(path, 0o600)
      try expectRefused(generate + ["--model", model], file)
      unlink(path)
      try FileManager.default.copyItem(atPath: Goldens.repositoryPath("Models/demo/\(file)"), toPath: path)
    }
  }

  /// A command that ends at once with an error, whichever of its statuses it is.
  private func expectRefused(_ arguments: [String], _ word: String) throws {
    let folder = TemporaryFolder()
    let process = try Program.start(arguments, errors: folder.path("errors"))
    let ends = Program.ends(process, within: 20)
    let errors = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    #expect(ends, "\(arguments) waits")
    process.waitUntilExit()
    #expect([1, 64].contains(process.terminationStatus) && process.terminationReason == .exit, "\(errors)")
    #expect(errors.contains("error: ") && errors.contains(word), "\(arguments): \(errors)")
  }

  @Test func `a decode refuses what it could not write at its end`() throws {
    let folder = TemporaryFolder()
    let made = try Program.run(
      ["generate"] + prompt + ["--output", folder.path("a.mp4"), "--save-latents", folder.path("l.st")])
    #expect(made.status == 0, "\(made.errors)")
    let decode = ["decode", folder.path("l.st"), "--output", folder.path("b.mp4"), "--save-frames"]
    for path in [folder.root, "/dev/null", folder.path("l.st"), folder.path("b.mp4"), folder.path("a.mp4/x")] {
      let result = try Program.run(decode + [path])
      #expect(result.status == 64, "\(path): \(result.errors)")
    }
  }

  @Test func `a calibration refuses what it could not write at its end`() throws {
    let folder = TemporaryFolder()
    try Data().write(to: URL(fileURLWithPath: folder.path("file")))
    for flags in [
      ["--output", folder.path("file/c.json")], ["--output", folder.root],
      ["--plot", folder.path("no/x.png"), "--output", folder.path("file/y")],
    ] {
      let result = try Program.run(["calibrate", "--infer-steps", "6", "--video-length", "1"] + flags)
      #expect(result.status == 64, "\(flags): \(result.errors)")
    }
  }
}
