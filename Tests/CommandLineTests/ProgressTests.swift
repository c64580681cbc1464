import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

@Suite struct ProgressTests {
  private let settings = [
    "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "42",
  ]

  @Test func `progress as JSON is an object per line that counts every unit, skipped steps and the time left`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(
      settings + [
        "--infer-steps", "12", "--video-length", "5", "--cache", "teacache", "--cache-option", "rel_l1_thresh=0.3",
        "--progress", "json", "--output", folder.path("a.mp4"), "--report", folder.path("a.json"),
      ])
    #expect(result.status == 0)
    let events = try result.errors.split(separator: "\n").map { try JSONValue(bytes: Array($0.utf8), file: "a line") }
    #expect(events.allSatisfy { $0["event"].string != nil && $0["stage"].string != nil }, "\(result.errors)")
    func stages(_ event: String) -> [String] {
      events.filter { $0["event"].string == event }.compactMap { $0["stage"].string }
    }
    let report = try JSONValue(contentsOf: folder.path("a.json"))
    #expect(stages("stage_start") == (report["stages"].array ?? []).compactMap { $0["name"].string })
    #expect(stages("stage_end") == stages("stage_start"))
    let steps = events.filter { $0["event"].string == "progress" && $0["stage"].string == "denoise" }
    #expect(steps.map { $0["done"].int } == (1...12).map { $0 } && steps.allSatisfy { $0["units"].int == 12 })
    var skipped = 0
    for (step, event) in zip(report["steps"].array ?? [], steps) {
      skipped += step["skipped"].bool == true ? 1 : 0
      #expect(event["skipped"].int == skipped)
      #expect((event["seconds_left_uncertainty"].double != nil) == ((event["done"].int ?? 0) >= 3))
    }
    #expect(skipped > 0 && steps.last?["seconds_left"].double == 0)
    let elapsed = steps.compactMap { $0["seconds_elapsed"].double }
    #expect(elapsed.count == 12 && elapsed == elapsed.sorted())
  }

  @Test func `without progress only warnings are printed`() throws {
    let folder = TemporaryFolder()
    let common = ["--infer-steps", "1", "--video-length", "1", "--progress", "none", "--output", folder.path("a.mp4")]
    let quiet = try Program.run(settings + common)
    #expect(quiet.status == 0 && quiet.errors.isEmpty, "\(quiet.errors)")
    let words = Array(repeating: "ball", count: 400).joined(separator: " ")
    let long = try Program.run(["generate", "--seed", "1", "--prompt", words] + common)
    #expect(!long.errors.isEmpty && long.errors.split(separator: "\n").allSatisfy { $0.hasPrefix("warning: ") })
    let unknown = try Program.run(settings + ["--progress", "loud"])
    #expect(unknown.status == 64 && unknown.errorLine.contains("--progress"), "\(unknown.errors)")
  }

  @Test func `a step that takes twice its planned time gets a warning with both times`() throws {
    let folder = TemporaryFolder()
    let environment = ["XDG_CACHE_HOME": folder.path("cache")]
    let size = ["--infer-steps", "1500", "--video-length", "1", "--threads", "1"]
    // Times the operations, so that the plan of the run knows what a step takes.
    #expect(try Program.run(["plan"] + size, environment: environment).status == 0)
    let process = try Program.start(
      settings + size + ["--output", folder.path("a.mp4"), "--report", folder.path("a.json")],
      errors: folder.path("errors"), environment: environment)
    while process.isRunning, !(try text(folder.path("errors"))).contains("denoise: 1/") {
      Thread.sleep(forTimeInterval: 0.001)
    }
    // A machine that stands still for a while.
    kill(process.processIdentifier, SIGSTOP)
    Thread.sleep(forTimeInterval: 1.5)
    kill(process.processIdentifier, SIGCONT)
    process.waitUntilExit()
    let errors = try text(folder.path("errors"))
    #expect(process.terminationStatus == 0, "\(errors)")
    let warnings = errors.split(separator: "\n").filter { $0.hasPrefix("warning: step ") }
    #expect(warnings.contains { $0.contains(" took 1.") && $0.contains(" s, planned were ") }, "\(errors)")
    let report = try JSONValue(contentsOf: folder.path("a.json"))
    #expect((report["warnings"].array ?? []).contains { $0.string?.contains("planned were") == true })
    let slow = (report["steps"].array ?? []).filter { ($0["seconds"].double ?? 0) > 1.2 }
    #expect(slow.count == 1, "one step stood still")
  }

  private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  @Test func `a preview shows the colour of what comes, at the last step in any case`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(
      settings + ["--infer-steps", "20", "--preview", "20", "--output", folder.path("a.mp4")])
    #expect(result.status == 0, "\(result.errors)")
    let picture = try pixels(folder.path("a.preview.png"))
    // First, middle and last frame of 8 x 8 latents side by side.
    #expect(picture.height >= 8 && picture.width >= 24, "\(picture.width) x \(picture.height)")
    func brightness(_ channel: Int) -> Int {
      stride(from: channel, to: picture.rgb.count, by: 3).reduce(0) { $0 + Int(picture.rgb[$1]) }
    }
    // The demo's latents are distances to outlines, which a linear map shows roughly: dark parts become brownish.
    #expect(brightness(0) > brightness(1) * 3 / 2 && brightness(0) > 2 * brightness(2), "a red ball on black")

    let rare = try Program.run(
      settings + ["--infer-steps", "3", "--video-length", "1", "--preview", "4", "--output", folder.path("b.mp4")])
    let single = try pixels(folder.path("b.preview.png"))
    #expect(rare.status == 0 && single.width * 3 == picture.width, "one frame of one")
    let invalid = try Program.run(settings + ["--preview", "0"])
    #expect(invalid.status == 64 && invalid.errorLine.contains("--preview"), "\(invalid.errors)")
  }

  /// A picture's pixels, by ffmpeg.
  private func pixels(_ path: String) throws -> (width: Int, height: Int, rgb: [UInt8]) {
    let header = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)).prefix(24))
    #expect(header.count == 24 && header.starts(with: [0x89, 0x50, 0x4E, 0x47]))
    let (width, height) = (Int(header[18]) << 8 | Int(header[19]), Int(header[22]) << 8 | Int(header[23]))
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    process.standardOutput = pipe
    try process.run()
    let rgb = [UInt8](pipe.fileHandleForReading.readDataToEndOfFile())
    process.waitUntilExit()
    #expect(rgb.count == width * height * 3)
    return (width, height, rgb)
  }
}
