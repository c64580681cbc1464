import Checkpoints
import Collectives
import Foundation
import Generation
import StrictJSON
import TensorCore
import TensorOps
import VideoIO

/// One video to make.
struct GenerateJob {
  /// Among all videos of the command.
  let index: Int
  var request: GenerationRequest
  /// The file or folder that the video goes to.
  let path: String
}

/// A checked command line: what will be made, from what, where to.
struct GeneratePlan {
  let model: ModelFolder
  let device: any ComputeDevice
  var jobs: [GenerateJob]
  let framesPerSecond: Int
  /// Nil on ranks that write nothing.
  let ffmpeg: FFmpeg?
  private let needsEncoder: Bool
  /// Things to say before the run.
  var notes: [String]
  var warnings: [String]
  /// The hash of the checkpoint's files. Empty until `identify`, unless the command line cannot be checked without it.
  private(set) var checkpointDigest: String
  let threads: Int
  /// Those of the command line; nil where the machine decides.
  let threadsAskedFor: Int?
  /// Reads weights ahead from disk; nil where they stay in memory.
  var readAhead: WeightReadAhead?
  let progress: ProgressStyle
  /// Steps between two previews; nil for none.
  let previewInterval: Int?
  /// Files that flags name instead of the folder's.
  let parts: ModelParts
  /// The file of `--initial-noise`.
  let initialNoise: String?
  /// Steps between two saves of the run; nil saves long runs by time.
  let saveInterval: Int?
  /// The run to go on with and its file.
  let resumed: (path: String, run: SavedRun)?
  /// The ranks that make each video together.
  private(set) var group: any ProcessGroup
  let sharing: RankSharing
  /// What the run will need.
  var forecast: Forecast?

  /// Asks the encoder, which takes a tenth of a second, for runs that fit alone.
  func requireEncoder() throws { if needsEncoder { try ffmpeg?.requireEncoder() } }

  /// Lets the ranks send each other tensors from device to device, where they have such. All ranks call this.
  mutating func joinDevices(_ session: RankSession) throws {
    group = try session.together { try device.group(session.group) }
  }

  /// - Parameters:
  ///   - saved: the run to go on with; the plan must be its own.
  ///   - session: the ranks. The first alone looks at where output goes.
  init(_ command: GenerateCommand, resuming saved: SavedRun? = nil, session: RankSession) throws {
    group = session.group
    parts = command.checkpoint.parts
    model = try ModelFolder(command.checkpoint.model ?? DemoModel.locate(), parts: parts)
    let (requests, sizeNotes) = try Self.requests(command, model: model, seed: session.seed)

    let settings = try GenerateSettings(command, requests: requests, model: model)
    framesPerSecond = settings.framesPerSecond
    sharing = try RankSharing(
      command.ranks, usesGuidance: requests[0].usesGuidance, model: model, session: session)
    device = try command.device.open(session, threads: session.group.size > 1 ? sharing.threads : nil)
    threads = device.threads
    threadsAskedFor = saved.map { $0.details["threads_asked_for"].flatMap { Int($0) } } ?? command.device.threads

    ffmpeg = session.isFirst ? try FFmpeg.found() : nil
    let outputs = try OutputPlan(command.output, command.running, requests: requests, isChecked: session.isFirst)
    needsEncoder = outputs.hasFiles
    var jobs = zip(requests, outputs.videos).enumerated().map { index, pair in
      GenerateJob(index: index, request: pair.0, path: pair.1)
    }
    checkpointDigest = command.cache.isUsed || saved != nil ? try Self.digest(of: model) : ""
    let cache =
      command.cache.isUsed
      ? try command.cache.resolved(for: requests[0], checkpointSHA256: checkpointDigest)
      : (settings: StepCacheSettings.none, notes: [], warnings: [])
    for index in jobs.indices { jobs[index].request.cache = cache.settings }
    self.jobs = jobs
    notes = sizeNotes + cache.notes + sharing.notes
    warnings = cache.warnings + sharing.warnings
    progress = settings.progress
    previewInterval = settings.previewInterval
    initialNoise = command.output.initialNoise
    saveInterval = settings.saveInterval
    if let saved, let path = command.running.resume {
      resumed = (path, saved)
      try requireSame(saved, path)
    } else {
      resumed = nil
    }
  }

  /// Takes the checkpoint's hash, for a run that fits: it takes a good part of a second for the published files.
  mutating func identify() throws {
    if checkpointDigest.isEmpty { checkpointDigest = try Self.digest(of: model) }
  }

  /// The hash of all files of a checkpoint.
  static func digest(of model: ModelFolder) throws -> String {
    let others = [model.autoencoder, model.textEncoder, model.textEncoder2]
    let files = try others.flatMap { part throws(CheckpointError) in try Checkpoint(path: part).files }
    return try CheckpointDigest.sha256(of: model.transformerCheckpoint().files + files, relativeTo: model.root)
  }

  /// A path for one of several videos: `latents.safetensors` becomes `latents_2.safetensors` for the third.
  func numbered(_ path: String, _ index: Int) -> String {
    jobs.count > 1 ? OutputPlan.numbered(path, index) : path
  }

  // MARK: Requests

  /// The most videos of a command.
  private static let videoLimit = 100_000

  /// - Parameter drawn: the seed where none is given.
  static func requests(
    _ command: GenerateCommand, model: ModelFolder, seed drawn: UInt64
  ) throws -> (requests: [GenerationRequest], notes: [String]) {
    let prompts = try self.prompts(command.prompt)
    let numVideos = command.prompt.numVideos ?? 1
    try require(
      (1...videoLimit).contains(numVideos), "invalid count", "--num-videos", "1 to \(videoLimit)",
      "\(numVideos)")
    if let rate = command.video.fps { try requireFrameRate(rate) }
    try require(
      [0, 2].contains(command.video.videoSize.count), "invalid size", "--video-size", "height and width",
      "\(command.video.videoSize.count) numbers")
    // The last video's seed is the largest.
    let last = UInt64.max - UInt64(numVideos - 1)
    let seed = command.prompt.seed ?? min(drawn, last)
    try require(
      seed <= last, "seed too large", "--seed", "at most \(last), which leaves a seed for each of \(numVideos) videos",
      "\(seed)")
    try require(
      prompts.count * numVideos <= videoLimit, "too many videos", "--prompt-file, --num-videos",
      "at most \(videoLimit)",
      "\(prompts.count) prompts of \(numVideos) videos")
    let noise = try command.output.initialNoise.map(initialNoise)
    try command.cache.check()
    var requests: [GenerationRequest] = []
    for prompt in prompts {
      var request = GenerationRequest(prompt: prompt, seed: seed, defaults: model.defaults)
      if let negative = command.prompt.negPrompt { request.negativePrompt = negative }
      if command.video.videoSize.count == 2 {
        (request.height, request.width) = (command.video.videoSize[0], command.video.videoSize[1])
      }
      request.frames = command.video.videoLength ?? request.frames
      request.steps = command.sampling.inferSteps ?? request.steps
      request.cfgScale = command.sampling.cfgScale ?? request.cfgScale
      request.embeddedGuidance = command.sampling.embeddedCfgScale ?? request.embeddedGuidance
      request.flowShift = command.sampling.flowShift ?? request.flowShift
      request.flowReverse = command.sampling.flowReverse ?? request.flowReverse
      request.vaeTiling = command.running.vaeTiling ?? true
      request.initialNoise = noise
      try request.validate()
      try requireStorable(request)
      for video in 0..<numVideos {
        request.seed = seed + UInt64(video)
        requests.append(request)
      }
    }
    var notes: [String] = []
    if command.sampling.flowShift == nil, let source = model.defaults.flowShiftSource {
      notes.append("flow shift \(model.defaults.flowShift), of \(source)")
    }
    if let first = requests.first, first.height != first.roundedHeight || first.width != first.roundedWidth {
      notes.append(
        VideoSize.text(height: first.height, width: first.width) + " is rounded up to "
          + VideoSize.text(height: first.roundedHeight, width: first.roundedWidth) + ", multiples of 16")
    }
    return (requests, notes)
  }

  private static func prompts(_ options: PromptOptions) throws -> [String] {
    switch (options.prompt, options.promptFile) {
    case (let prompt?, nil): return [prompt]
    case (nil, let path?): return try prompts(inFile: path)
    case (nil, nil):
      throw RequestError(
        "missing prompt", at: "--prompt", expected: "a description of the video", found: "nothing",
        remedy: "for example --prompt \"A cat walks on the grass, realistic style.\"")
    default:
      throw RequestError(
        "two prompts", at: "--prompt, --prompt-file", expected: "one of them", found: "both", remedy: "leave one out")
    }
  }

  /// The prompts of `--prompt-file`. One that nobody writes yet is waited for, and the user told so.
  static func prompts(inFile path: String) throws -> [String] {
    try PromptFile.prompts(
      in: path, longest: VideoMetadata.valueLimit, isShared: RankSession.isLaunched && RankLaunch.number().size != 1
    ) { seconds in
      if seconds == 2 { Console.error("waiting for prompts from \(path.printable)\n") }
      if let signal = StopSignals.received { throw Interruption(signal: signal, consequence: nil) }
    }
  }

  /// Refuses prompts that a video's metadata cannot hold whole, alone and among the settings: from them the video is made again.
  private static func requireStorable(_ request: GenerationRequest) throws {
    // For all settings beside the prompts.
    let limit = VideoMetadata.valueLimit - 4000
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    var all = 0
    for (flag, text) in [("--prompt", request.prompt), ("--neg-prompt", request.negativePrompt)] {
      if text.utf8.contains(0) {
        throw RequestError(
          "text that cannot be stored", at: flag, expected: "no zero byte", found: "one", remedy: "leave it out")
      }
      all += try encoder.encode(text).count
      try require(
        all <= limit, "text that cannot be stored", flag,
        "at most \(limit) bytes, so that the video can say what it shows", "\(text.utf8.count) bytes")
    }
  }

  static func requireFrameRate(_ rate: Int) throws(RequestError) {
    try require((1...1000).contains(rate), "invalid frame rate", "--fps", "1 to 1000", "\(rate)")
  }

  private static func initialNoise(_ path: String) throws -> Tensor {
    guard let tensor = try WrittenFile.noise.reading(path, { try Checkpoint(path: $0)["latents"]?.tensor }) else {
      throw RequestError(
        "missing tensor", at: path, expected: "a tensor named latents", found: "none", remedy: "check --initial-noise")
    }
    if !tensor.floats().allSatisfy(\.isFinite) {
      throw RequestError(
        "wrong initial noise", at: path, expected: "finite numbers", found: "NaN or infinity",
        remedy: "check --initial-noise")
    }
    return tensor
  }

  static func require(
    _ holds: Bool, _ what: String, _ location: String, _ expected: String, _ found: String
  ) throws(RequestError) {
    if !holds {
      throw RequestError(
        what, at: location, expected: expected, found: found, remedy: "see hyvideo generate --help")
    }
  }
}
