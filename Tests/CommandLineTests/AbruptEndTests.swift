import Foundation
import Testing

/// However a command is ended, it says so, keeps what can be kept and leaves no file that is not whole.
@Suite(.serialized) struct AbruptEndTests {
  /// Steps of seconds.
  private let slow = [
    "generate", "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "50", "--video-size", "512", "512",
    "--video-length", "33", "--threads", "1", "--progress", "json",
  ]

  private func text(_ folder: TemporaryFolder) -> String {
    (try? String(contentsOfFile: folder.path("errors"), encoding: .utf8)) ?? ""
  }

  private func last(_ folder: TemporaryFolder) -> String {
    text(folder).split(separator: "\n").last { $0.contains("error: ") }.map(String.init) ?? ""
  }

  @Test func `a run goes on when a terminal closes under nohup`() throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      program: "/bin/sh",
      [
        "-c", "trap '' HUP; exec \"$0\" \"$@\"", Program.path, "generate", "--prompt", "A red ball.", "--infer-steps",
        "200", "--video-length", "1", "--output", folder.path("a.mp4"),
      ], errors: folder.path("errors"))
    try Program.wait(for: "denoise: ", in: folder.path("errors"), of: process)
    kill(process.processIdentifier, SIGHUP)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(text(folder))")
    #expect(FileManager.default.fileExists(atPath: folder.path("a.mp4")))
  }

  @Test func `a second signal ends a step at once, and keeps the last whole one`() throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      slow + ["--save-latents", folder.path("latents.st"), "--output", folder.path("a.mp4")],
      errors: folder.path("errors"))
    func hasStep() -> Bool {
      text(folder).split(separator: "\n").contains {
        $0.contains(#""event":"progress""#) && $0.contains(#""stage":"denoise""#)
      }
    }
    while process.isRunning && !hasStep() { Thread.sleep(forTimeInterval: 0.005) }
    // A step is told just before the run looks for signals; the next one takes seconds.
    Thread.sleep(forTimeInterval: 0.2)
    for signal in [SIGINT, SIGTERM] {
      kill(process.processIdentifier, signal)
      Thread.sleep(forTimeInterval: 0.4)
    }
    let start = Date()
    process.waitUntilExit()
    #expect(Date().timeIntervalSince(start) < 2)
    let message = last(folder)
    #expect(process.terminationStatus == 128 + SIGTERM, "\(message)")
    #expect(message.contains("interrupted again, ended at once: SIGTERM: the run is saved in"), "\(message)")
    #expect(message.contains("--resume"), "\(message)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.root).sorted()
    #expect(names == ["a.run.safetensors", "errors"])
  }

  @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT])
  func `a conversion that is ended leaves nothing`(_ signal: Int32) throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      ["convert", "--random", "hyvideo-t2", "--double-blocks", "2", "--single-blocks", "1"]
        + ["--output", folder.path("out")], errors: folder.path("errors"))
    func partial() -> Bool {
      let files = FileManager.default.enumerator(atPath: folder.root)?.allObjects as? [String] ?? []
      return files.contains { $0.hasSuffix(".partial") }
    }
    while process.isRunning && !partial() { Thread.sleep(forTimeInterval: 0.002) }
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    #expect(process.terminationStatus == 128 + signal)
    #expect(last(folder).contains("interrupted: SIG"), "\(text(folder))")
    #expect(!partial())
    #expect(!FileManager.default.fileExists(atPath: folder.path(".hyvideo-claims")))
  }

  @Test func `a comparison of ranks ends within a step`() throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      ["verify", "--ranks", "2", "--threads", "1", "--infer-steps", "50", "--video-size", "512", "512"]
        + ["--video-length", "33"], errors: folder.path("errors"))
    try Program.wait(for: "denoise: ", in: folder.path("errors"), of: process)
    kill(process.processIdentifier, SIGTERM)
    #expect(Program.ends(process, within: 10), "\(text(folder))")
    #expect(process.terminationStatus == 128 + SIGTERM)
    #expect(last(folder).contains("interrupted: SIGTERM"), "\(text(folder))")
  }

  @Test(arguments: ["exec sleep 100", "cat > /dev/null; exec sleep 100", "cat > /dev/null; sleep 100 & wait"])
  func `an encoder that hangs is named, and the latents are kept`(_ work: String) throws {
    let folder = TemporaryFolder()
    let encoder = folder.path("ffmpeg")
    try "#!/bin/sh\ncase \"$*\" in *rawvideo*libx264*) \(work);; *) exec ffmpeg \"$@\";; esac\n"
      .write(toFile: encoder, atomically: true, encoding: .utf8)
    chmod(encoder, 0o755)
    let run = [
      "generate", "--prompt", "A red ball.", "--infer-steps", "1", "--video-size", "96", "96", "--video-length", "33",
      "--output", folder.path("a.mp4"),
    ]
    let result = try Program.run(
      run, environment: ["HYVIDEO_FFMPEG": encoder, "HYVIDEO_FFMPEG_TIMEOUT": "1"])
    #expect(result.status == 1, "\(result.errors)")
    #expect(result.errorLine.contains("\(encoder) hangs: \(folder.path("a.mp4"))"), "\(result.errors)")
    #expect(result.errorLine.contains("finish the video with: hyvideo decode"), "\(result.errors)")
    // A signal ends the wait, however long it may be.
    let process = try Program.start(run, errors: folder.path("errors"), environment: ["HYVIDEO_FFMPEG": encoder])
    try Program.wait(for: "decode", in: folder.path("errors"), of: process)
    Thread.sleep(forTimeInterval: 0.5)
    kill(process.processIdentifier, SIGTERM)
    #expect(Program.ends(process, within: 10))
    #expect(
      process.terminationStatus == 128 + SIGTERM, "\(text(folder))")
    #expect(last(folder).contains("--resume"), "\(text(folder))")
  }

  @Test func `an encoder that does not answer is named before any work`() throws {
    let folder = TemporaryFolder()
    let encoder = folder.path("ffmpeg")
    try "#!/bin/sh\nexec sleep 100\n".write(toFile: encoder, atomically: true, encoding: .utf8)
    chmod(encoder, 0o755)
    let result = try Program.run(
      ["generate", "--prompt", "A red ball.", "--output", folder.path("a.mp4")],
      environment: ["HYVIDEO_FFMPEG": encoder, "HYVIDEO_FFMPEG_TIMEOUT": "1"])
    #expect(result.status == 64 && result.errorLine.contains("\(encoder) hangs"), "\(result.errors)")
  }
}
