import Foundation
import Testing

/// No two runs write to one name at a time.
@Suite struct ClaimTests {
  private let prompt = ["generate", "--prompt", "A red ball.", "--seed", "1", "--video-size", "32", "48"]

  @Test func `runs of one second, seed and prompt leave a video each`() throws {
    let folder = TemporaryFolder()
    let processes = try (1...5).map { shift in
      try Program.start(
        prompt + ["--infer-steps", "1", "--video-length", "1", "--num-videos", "2", "--flow-shift", "\(shift)"]
          + ["--save-path", folder.path("results"), "--preview", "1"], errors: folder.path("errors\(shift)"))
    }
    for process in processes {
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("results"))
    #expect(names.count { $0.hasSuffix(".mp4") } == 10, "\(names)")
    #expect(names.count { $0.hasSuffix(".preview.png") } == 10, "\(names)")
    #expect(names.count == 20, "\(names)")
  }

  @Test func `a name that a run writes to is refused to others, and free when it is gone`() throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      prompt + ["--infer-steps", "9000", "--video-length", "5", "--save-latents", folder.path("latents.st")]
        + ["--output", folder.path("a.mp4")], errors: folder.path("errors"))
    try Program.wait(for: "denoise: ", in: folder.path("errors"), of: process)
    let quick = prompt + ["--infer-steps", "1", "--video-length", "1"]
    for flags in [
      ["--output", folder.path("a.mp4")], ["--output", folder.path("a/")],
      ["--output", folder.path("b.mp4"), "--save-latents", folder.root + "/./latents.st"],
    ] {
      let second = try Program.run(quick + flags)
      #expect(second.status == 64 && second.errorLine.contains("output in use"), "\(flags): \(second.errors)")
      #expect(second.errorLine.contains("another name"))
    }
    let beside = try Program.run(quick + ["--output", folder.path("b.mp4")])
    #expect(beside.status == 0, "\(beside.errors)")
    // A claim does not outlive its process.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    let after = try Program.run(quick + ["--output", folder.path("a.mp4")])
    #expect(after.status == 0, "\(after.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path(".hyvideo-claims")))
  }

  @Test func `files of one run that would have one name are refused`() throws {
    let folder = TemporaryFolder()
    for flags in [["--save-latents", "a.run.safetensors"], ["--preview", "1", "--report", "a.preview.png"]] {
      let result = try Program.run(prompt + ["--infer-steps", "1", "--output", "a.mp4"] + flags, in: folder.root)
      #expect(result.status == 64 && result.errorLine.contains("two outputs of one name"), "\(result.errors)")
    }
  }
}
