import ArgumentParser
import Checkpoints
import Foundation
import Generation
import Layers
import TensorCore
import VideoIO

struct DecodeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode", abstract: "Makes a video from saved latents.",
    discussion: """
      LATENTS is a file NAME.run.safetensors that generate left when it was stopped or its decoding failed, or one of \
      --save-latents. Of the checkpoint the autoencoder alone is needed. Example: hyvideo decode ball.run.safetensors --model Models/demo --output ball.mp4
      """)

  @Argument(help: ArgumentHelp("Safetensors, key latents, float32 [1, 16, F', H/8, W/8].", valueName: "latents"))
  var latents: String
  @OptionGroup(title: "Checkpoint") var checkpoint: AutoencoderOptions
  @Option(
    help: ArgumentHelp(
      "A file ending in .mp4, or a folder (ending in /) for PNG frames. Default: the saved run's.", valueName: "path"))
  var output: String?
  @Option(help: "Frames per second of the file. Default: the saved run's, else the checkpoint's.") var fps: Int?
  @OptionGroup(title: "Device") var device: DeviceOptions
  @Flag(
    name: .long, inversion: .prefixedNo,
    help: "Decode large videos in overlapping tiles (default); without, the decoder takes far more memory.")
  var vaeTiling: Bool?
  @Option(
    help: ArgumentHelp(
      "Write the frames before quantization as safetensors, key video, float32 [1, 3, F, H, W].", valueName: "file"))
  var saveFrames: String?

  @OptionGroup var progress: ProgressOptions

  func run() throws {
    let observer = RunObserver(try progress.style())
    let (decoder, latents, path, writer) = try RefusedBeforeWork.checking { try prepare(observer) }
    StopSignals.install()
    defer { StopSignals.uninstall() }
    do {
      try decoder.decode(latents, tiling: tiling, into: writer)
      try writer.finish()
    } catch {
      // A key press reaches the encoder too, which then fails.
      if let signal = StopSignals.received {
        throw Interruption(signal: signal, consequence: "the latents are unchanged in \(self.latents)")
      }
      throw error
    }
    if let saveFrames { try writer.saveFrames(to: saveFrames) }
    try Console.written(path: path)
  }

  private var tiling: Bool { vaeTiling ?? true }

  /// Finds everything that can be wrong before anything is computed.
  private func prepare(
    _ observer: RunObserver
  ) throws -> (decoder: LatentDecoder, latents: Tensor, path: String, output: VideoOutput) {
    let (file, run) = try WrittenFile.latents.reading(latents) { path in
      let file = try Checkpoint(path: path)
      return (file, SavedRun.isSavedRun(file) ? try SavedRun(contentsOf: path) : nil)
    }
    guard let tensor = run?.state.latents ?? file["latents"]?.tensor else {
      throw RequestError(
        "missing tensor", at: latents, expected: "a tensor named latents", found: "none",
        remedy: WrittenFile.latents.remedy)
    }
    var parts = ModelParts()
    // Another folder has its own.
    parts.autoencoder = checkpoint.vaePath ?? (checkpoint.model == nil ? run?.details["vae_path"] : nil)
    let model = try AutoencoderFolder(
      checkpoint.model ?? run?.details["model"] ?? DemoModel.locate(), parts: parts)
    let opened = try device.open(RankSession.alone)
    for warning in opened.warnings { observer.warn(warning) }
    let backends = opened.backends(streamsWeights: false)
    let decoder = LatentDecoder(model, in: backends.contexts(), observer: observer)
    let size = try decoder.checkLatents(tensor, named: latents)
    try decoder.verify()
    if let run, run.details["steps"] != "\(run.state.step)" {
      let steps = run.details["steps"] ?? "?"
      observer.warn("the run was stopped after step \(run.state.step) of \(steps): the video is noisy")
    }

    guard let name = output ?? run?.details["output"] else {
      throw RequestError(
        "missing output", at: "--output", expected: "a file ending in .mp4 or a folder ending in /", found: "nothing",
        remedy: "say where the video goes")
    }
    let path = try OutputPlan.named(name, count: 1)[0]
    let rate = fps ?? run?.details["fps"].flatMap { Int($0) } ?? model.defaults.framesPerSecond
    try GeneratePlan.requireFrameRate(rate)
    try FrameLimits.check(width: size.width, height: size.height, for: path)
    let ffmpeg = try FFmpeg.found()
    if !path.hasSuffix("/") { try ffmpeg.requireEncoder() }
    try OutputPlan.checkVideo(path)
    if let saveFrames { try OutputPlan.requireReplaceable(saveFrames, flag: "--save-frames") }
    try OutputPlan.requireDistinct([latents, path] + (saveFrames.map { [$0] } ?? []))
    for file in [path] + (saveFrames.map { [$0] } ?? []) { try OutputPlan.claim(file) }
    let prefix = "metadata."
    let stored = (run?.details ?? [:]).filter { $0.key.hasPrefix(prefix) }
    let metadata = Dictionary(uniqueKeysWithValues: stored.map { (String($0.key.dropFirst(prefix.count)), $0.value) })
    let writer = try VideoOutput(
      path: path, height: size.height, width: size.width, framesPerSecond: rate, metadata: metadata, ffmpeg: ffmpeg,
      collector: saveFrames == nil ? nil : FrameCollector())
    return (decoder, tensor, path, writer)
  }
}
