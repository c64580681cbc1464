import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// The same settings give the same file, whatever the machine lets the program have.
@Suite(.serialized) struct EncodingTests {
  /// Large and long enough for libx264 to write other bits with another number of threads.
  private static func settings(steps: Int = 4, frames: Int = 17) -> [String] {
    [
      "--prompt", "A red ball moves from left to right on a black background.", "--seed", "3", "--infer-steps",
      "\(steps)", "--video-size", "64", "64", "--video-length", "\(frames)",
    ]
  }

  private let settings = EncodingTests.settings()

  /// The first core that may be used.
  private static let core: String = {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") } ?? ""
    return line.split(whereSeparator: \.isWhitespace).last?.prefix { $0.isNumber }.description ?? "0"
  }()

  private static var oneCore: [String] { ["taskset", "-c", core, Program.path] }

  private func run(_ program: [String], _ arguments: [String], _ environment: [String: String] = [:]) throws {
    let result = try Program.run(
      program: "/usr/bin/env", program + arguments, environment: environment)
    #expect(result.status == 0, "\(program): \(result.errors)")
  }

  private func contents(_ folder: TemporaryFolder, _ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
  }

  /// What ffmpeg tells of a video, in a format of its own.
  private func told(_ format: String, of path: String) throws -> String {
    let result = try Program.run(
      program: "/usr/bin/env", ["ffmpeg", "-v", "error", "-i", path, "-f", format, "-"])
    #expect(result.status == 0, "\(result.errors)")
    return result.output
  }

  /// An ffmpeg that takes the machine for one with so many cores.
  private func ffmpeg(_ folder: TemporaryFolder, cores: Int) throws -> String {
    let path = folder.path("ffmpeg-\(cores)")
    try "#!/bin/sh\nexec ffmpeg -cpucount \(cores) \"$@\"\n".write(toFile: path, atomically: true, encoding: .utf8)
    chmod(path, 0o755)
    return path
  }

  @Test func `a video is the same file on one core, on many, and at low priority`() throws {
    let folder = TemporaryFolder()
    func arguments(_ name: String) -> [String] {
      ["generate"] + settings + [
        "--output", folder.path("\(name).mp4"), "--save-frames", folder.path("\(name).safetensors"), "--preview", "2",
      ]
    }
    try run([Program.path], arguments("all"))
    try run(Self.oneCore, arguments("one"))
    try run(["nice", "-n", "10", Program.path], arguments("nice"), ["OMP_NUM_THREADS": "1"])
    try run([Program.path], arguments("many"), ["HYVIDEO_FFMPEG": try ffmpeg(folder, cores: 64)])
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.root)
    let endings = names.filter { $0.hasPrefix("all.") }.map { $0.dropFirst(3) }
    #expect(endings.count == 3 && endings.contains(".mp4"), "a video, its frames and its preview: \(names)")
    for name in ["one", "nice", "many"] {
      for ending in endings {
        #expect(try contents(folder, "\(name)\(ending)") == contents(folder, "all\(ending)"), "\(name)\(ending)")
      }
    }
  }

  @Test func `frames and a decoded run are the same files on one core`() throws {
    let folder = TemporaryFolder()
    let latents = folder.path("latents.safetensors")
    try run([Program.path], ["generate"] + settings + ["--save-latents", latents, "--output", folder.path("all/")])
    try run(Self.oneCore, ["generate"] + settings + ["--output", folder.path("one/")])
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("all"))
    #expect(names.count == 18, "\(names)")
    for name in names { #expect(try contents(folder, "one/\(name)") == contents(folder, "all/\(name)"), "\(name)") }
    for (name, program) in [("all", [Program.path]), ("one", Self.oneCore)] {
      try run(program, ["decode", latents, "--output", folder.path("\(name).mp4")])
    }
    #expect(try contents(folder, "one.mp4") == contents(folder, "all.mp4"))
  }

  @Test func `threads change neither the latents nor the frames, and a number that is asked for is named`() throws {
    let folder = TemporaryFolder()
    var latents: [[Float]] = []
    var frames: [[Float]] = []
    for threads in 1...7 {
      let (path, video) = (folder.path("latents.safetensors"), folder.path("frames.safetensors"))
      try run(
        [Program.path],
        ["generate"] + settings + [
          "--threads", "\(threads)", "--save-latents", path, "--save-frames", video, "--output",
          folder.path("\(threads).mp4"),
        ])
      latents.append(try #require(try Checkpoint(path: path)["latents"]).tensor.floats())
      frames.append(try #require(try Checkpoint(path: video)["video"]).tensor.floats())
    }
    for index in 1..<7 {
      #expect(latents[index] == latents[0] && frames[index] == frames[0], "\(index + 1) threads")
    }
    let metadata = try told("ffmetadata", of: folder.path("3.mp4"))
    #expect(metadata.contains(#""threads":3"#), "\(metadata)")
  }

  @Test func `a video that was made on all cores is reproduced on one`() throws {
    let folder = TemporaryFolder()
    try run([Program.path], ["generate"] + settings + ["--output", folder.path("a.mp4")])
    let again = try Program.run(program: "/usr/bin/env", Self.oneCore + ["reproduce", folder.path("a.mp4")])
    #expect(again.status == 0 && again.errors.contains("identical: all 17 frames"), "\(again.errors)")
    #expect(!again.errors.contains("encoded by"), "\(again.errors)")
    #expect(try contents(folder, "a.again.mp4") == contents(folder, "a.mp4"))
  }

  @Test(arguments: [true, false])
  func `a video of another encoder is told from other frames`(_ saysNothing: Bool) throws {
    let folder = TemporaryFolder()
    try run([Program.path], ["generate"] + settings + ["--output", folder.path("a.mp4")])
    // A backslash is before each equals sign.
    let metadata = try told("ffmetadata", of: folder.path("a.mp4")).replacingOccurrences(of: "\\", with: "")
    let line = metadata.split(separator: "\n").first { $0.hasPrefix("encoding=") }
    let here = try #require(line?.dropFirst(9))
    #expect(here.contains("libx264") && here.contains("ffmpeg "), "\(here)")
    // Encoded as earlier versions did, by one thread; or the same bits with another name.
    let encoding =
      saysNothing
      ? ["-c:v", "libx264", "-crf", "17", "-threads", "1"] : ["-c:v", "copy", "-metadata", "encoding=other"]
    try run(
      ["ffmpeg"],
      ["-v", "error", "-i", folder.path("a.mp4"), "-movflags", "use_metadata_tags"] + encoding
        + (saysNothing ? ["-metadata", "encoding="] : []) + [folder.path("b.mp4")])
    let again = try Program.run(["reproduce", folder.path("b.mp4")])
    if saysNothing {
      #expect(again.status == 1, "\(again.errors)")
      #expect(again.errors.contains("warning: the video was encoded by an earlier hyvideo"), "\(again.errors)")
      #expect(again.errorLine.contains("does not tell whether other frames were computed"), "\(again.errors)")
    } else {
      #expect(again.status == 0 && again.errors.contains("identical: all 17 frames"), "\(again.errors)")
      #expect(again.errors.contains("encoded by other, here it is encoded by \(here)"), "\(again.errors)")
    }
  }

  @Test func `a run that goes on with two ranks writes the video of one`() throws {
    let folder = TemporaryFolder()
    let long = Self.settings(steps: 300, frames: 5) + ["--threads", "1"]
    for ranks in [1, 2] {
      let path = folder.path("\(ranks).run.safetensors")
      let process = try Program.start(
        ["generate"] + long + ["--checkpoint-every", "1", "--output", folder.path("\(ranks).mp4")])
      while process.isRunning && !FileManager.default.fileExists(atPath: path) { Thread.sleep(forTimeInterval: 0.002) }
      kill(process.processIdentifier, SIGTERM)
      process.waitUntilExit()
      #expect(process.terminationStatus == 128 + SIGTERM)
      let result = try Program.run(["generate", "--resume", path, "--ranks", "\(ranks)"])
      #expect(result.status == 0, "\(result.errors)")
    }
    try run([Program.path], ["generate"] + long + ["--output", folder.path("whole.mp4")])
    try run([Program.path], ["generate"] + long + ["--ranks", "2", "--output", folder.path("ranks.mp4")])
    #expect(try contents(folder, "1.mp4") == contents(folder, "whole.mp4"))
    #expect(try contents(folder, "2.mp4") == contents(folder, "ranks.mp4"))
    // Metadata says how many ranks there were; pictures do not.
    let videos = try ["whole.mp4", "ranks.mp4"].map { try told("framemd5", of: folder.path($0)) }
    #expect(videos[0] == videos[1])
    #expect(videos[0].split(separator: "\n").count { !$0.hasPrefix("#") } == 5, "\(videos[0])")
  }
}
