import ArgumentParser
import Checkpoints
import Foundation
import Generation
import VideoIO

struct ReproduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reproduce", abstract: "Makes a video again from the settings in its own file, and compares.",
    discussion: """
      Example: hyvideo reproduce ball.mp4 --output again.mp4
      The checkpoint is found by its hash: the one of --model, else the default, those beside it, and one of the recorded name \
      here. Another one is refused unless --force is given. The video that is made says what it was made with, too.
      """)

  @Argument(
    help: ArgumentHelp("A video of generate, or a folder of its frames with metadata.json.", valueName: "video"))
  var video: String
  @OptionGroup(title: "Checkpoint") var checkpoint: CheckpointOptions
  @Option(
    help: ArgumentHelp(
      "A file ending in .mp4, or a folder (ending in /) for PNG frames. Default: NAME.again beside the video.",
      valueName: "path"))
  var output: String?
  @Option(help: "Threads. Default: those that the video was asked for with, else the cores that this process may use.")
  var threads: Int?
  @Option(help: ArgumentHelp("The noise that the video was started from, where it was a file's.", valueName: "file"))
  var initialNoise: String?
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @Flag(help: "Go on with another checkpoint or other noise.") var force = false
  @Flag(help: "Print the command that makes the video, and do nothing.") var dryRun = false

  func run() throws {
    let (origin, words, path) = try RefusedBeforeWork.checking { try prepare() }
    if dryRun { return try Console.result(ShellCommand.line(["hyvideo"] + words)) }
    let encoding = try EncodingComparison(origin, madeAs: path, ffmpeg: FFmpeg.found())
    for warning in warnings(origin) + encoding.warnings { Console.error("warning: \(warning)\n") }
    var generate = try GenerateCommand.parse(Array(CommandWords(words).words.dropFirst()))
    try generate.run()
    try compare(path, encoding)
  }

  // MARK: Before

  private func prepare() throws -> (origin: VideoOrigin, words: [String], path: String) {
    let origin = try VideoOrigin(path: video, ffmpeg: FFmpeg.found())
    let model = try model(of: origin)
    let path = try OutputPlan.named(output ?? defaultOutput, count: 1)[0]
    if URL(fileURLWithPath: path).standardizedFileURL == URL(fileURLWithPath: video).standardizedFileURL {
      throw RequestError(
        "the video itself", at: "--output", expected: "another file", found: path, remedy: "choose another name")
    }
    var words = ["generate"] + (try origin.flags()) + ["--model", model, "--output", path]
    let parts = [
      ("--dit-weight", checkpoint.ditWeight), ("--vae-path", checkpoint.vaePath),
      ("--text-encoder-path", checkpoint.textEncoderPath), ("--text-encoder-2-path", checkpoint.textEncoder2Path),
      ("--tokenizer-path", checkpoint.tokenizerPath), ("--tokenizer-2-path", checkpoint.tokenizer2Path),
      ("--initial-noise", initialNoise),
    ]
    for (flag, value) in parts { if let value { words += [flag, value] } }
    if let threads = threads ?? origin.threads { words += ["--threads", "\(threads)"] }
    words += memory.words
    try checkNoise(origin)
    return (origin, words, path)
  }

  private var defaultOutput: String {
    if video.hasSuffix("/") || FileSystemEntry.isFolder(video) {
      return video.trimmingCharacters(in: CharacterSet(charactersIn: "/")).isEmpty
        ? "again/" : (video.hasSuffix("/") ? String(video.dropLast()) : video) + ".again/"
    }
    return (video as NSString).deletingPathExtension + ".again.mp4"
  }

  /// The folder whose checkpoint has the recorded hash, by the files alone.
  private func model(of origin: VideoOrigin) throws -> String {
    var found: [String] = []
    for folder in try candidates(origin) {
      guard let model = try? ModelFolder(folder, parts: checkpoint.parts) else { continue }
      let digest = try GeneratePlan.digest(of: model)
      if digest == origin.checkpointSHA256 { return folder }
      found.append("\(digest.prefix(12))… in \(folder)")
    }
    if force, let folder = try checkpoint.model ?? candidates(origin).first { return folder }
    throw RequestError(
      "another checkpoint", at: video,
      expected: "the checkpoint with the hash \(origin.checkpointSHA256)"
        + (origin.modelName.map { " (\($0))" } ?? ""),
      found: found.isEmpty ? "none" : found.joined(separator: ", "),
      remedy: "give --model FOLDER, or --force to use another")
  }

  private func candidates(_ origin: VideoOrigin) throws -> [String] {
    if let model = checkpoint.model { return [model] }
    var folders = [try DemoModel.locate()]
    let parent = (folders[0] as NSString).deletingLastPathComponent
    folders += (try? FileManager.default.contentsOfDirectory(atPath: parent))?.sorted().map { "\(parent)/\($0)" } ?? []
    if let name = origin.modelName { folders += [name, "Models/\(name)", "ckpts/\(name)"] }
    folders.append("ckpts")
    var seen: Set<String> = []
    return folders.filter {
      ModelFolder.isModel($0) && seen.insert(URL(fileURLWithPath: $0).standardizedFileURL.path).inserted
    }
  }

  private func checkNoise(_ origin: VideoOrigin) throws {
    if force { return }
    var digest: String?
    if let initialNoise {
      guard let tensor = try WrittenFile.noise.reading(initialNoise, { try Checkpoint(path: $0)["latents"]?.tensor })
      else {
        throw RequestError(
          "missing tensor", at: initialNoise, expected: "a tensor named latents", found: "none",
          remedy: "check --initial-noise")
      }
      digest = tensor.sha256
    }
    guard digest != origin.initialNoiseSHA256 else { return }
    throw RequestError(
      "other noise", at: "--initial-noise",
      expected: origin.initialNoiseSHA256.map { "the noise with the hash \($0)" } ?? "none: the seed's noise was used",
      found: digest ?? "none", remedy: "give the file that the video was started from, or --force")
  }

  private func warnings(_ origin: VideoOrigin) -> [String] {
    var warnings: [String] = []
    let current = "hyvideo \(ProgramVersion.current)"
    if origin.generator != current {
      warnings.append("the video was made by \(origin.generator), this is \(current): last bits may differ")
    }
    if origin.ranks > 1 {
      warnings.append("the video was made by \(origin.ranks) ranks: one rank gives the same up to last bits")
    }
    return warnings
  }

  // MARK: After

  /// Says whether the frames are the same.
  private func compare(_ path: String, _ encoding: EncodingComparison) throws {
    let ffmpeg = try FFmpeg.found()
    let digests = try [video, path].map { try Self.digests(of: VideoReader(path: $0, ffmpeg: ffmpeg)) }
    let differing = zip(digests[0], digests[1]).enumerated().filter { $1.0 != $1.1 }.map(\.offset)
    if differing.isEmpty && digests[0].count == digests[1].count {
      let count = digests[0].count
      return Console.error("identical: \(count > 1 ? "all " : "")\(count.counted("frame")) of \(video)\n")
    }
    let first = differing.first.map { ", the first is frame \($0 + 1)" } ?? ""
    let comparison = ShellCommand.line(["hyvideo", "compare", video, path])
    let text =
      "\(differing.count) of \(digests[0].count.counted("frame")) \(differing.count == 1 ? "differs" : "differ")\(first) (\(digests[1].count) were made)\(encoding.explanation); see \(comparison)"
    if force { return Console.error("warning: \(text)\n") }
    throw NotReproduced(text: text)
  }

  private static func digests(of video: VideoReader) throws -> [String] {
    var digests: [String] = []
    try video.forEachFrame { _, frame in digests.append(frame.withUnsafeBytes { CheckpointDigest.sha256(of: $0) }) }
    return digests
  }
}

/// The same settings gave other frames.
struct NotReproduced: Error, CustomStringConvertible {
  let text: String

  var description: String { "not reproduced: \(text)" }
}

/// What the file system says of a path.
enum FileSystemEntry {
  static func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
  }
}
