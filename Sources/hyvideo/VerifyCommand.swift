import ArgumentParser
import CPUBackend
import Checkpoints
import Collectives
import Foundation
import Generation
import Layers
import TensorCore
import TensorOps

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Checks that several ranks make the video of one.",
    discussion: """
      Makes a short video on the first rank alone, then on all ranks, and compares the latents after each step and the frames. \
      Exit status 1 where they differ by more than rounding does.
      Example: hyvideo verify --ranks 4 --ulysses-degree 2 --ring-degree 2
      """)

  @OptionGroup(title: "Ranks") var ranks: RankOptions
  @OptionGroup(title: "Checkpoint") var checkpoint: CheckpointOptions
  @OptionGroup(title: "Video") var video: VideoOptions
  @Option(help: "What the video shows.")
  var prompt = "A red ball moves from left to right on a black background."
  @Option(help: "Seed of the noise.") var seed: UInt64 = 0
  @Option(help: "Denoising steps.") var inferSteps = 4
  @Option(help: "True guidance: above 1 the network also runs on the negative prompt.") var cfgScale: Float = 1
  @Option(help: "Threads of each rank. Default: its share of the cores.") var threads: Int?
  @Option(
    help: """
      The largest difference of latents that is rounding, relative to their norm; frames may differ by ten times as much.
      """)
  var tolerance = 1e-5
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    try RankLauncher.launch(ranks, threads: threads)
    let session = try RankSession.join()
    let (plan, _) = try session.agree {
      let plan = try RefusedBeforeWork.checking { try prepared(session) }
      return (plan, plan.sharedSettings, [])
    }
    let observer = RunObserver(json ? .none : .auto, isMuted: !session.isFirst)
    StopSignals.install()
    try session.openLifeline(observer)
    for note in plan.sharing.notes { observer.note(note) }

    var expected: VerifiedRun?
    if session.isFirst {
      observer.note("on one rank")
      expected = try plan.run(VideoPipeline(plan.model, in: plan.context, observer: observer), observer)
    }
    try session.group.barrier()
    observer.note("on \(session.group.size) ranks")
    let groups = try plan.sharing.groups(session.group)
    let found = try plan.run(
      VideoPipeline(
        plan.model, in: plan.context, ranks: groups.ranks, halves: groups.halves, observer: observer), observer)

    // Ranks that do not agree with each other would drift apart.
    let digests = try session.group.allGather(Array(found.digest.utf8))
    var verdict: Failure?
    if let expected {
      let result = try RankVerification(
        expected: expected, found: found, plan: plan, ranksAgree: Set(digests).count == 1, tolerance: tolerance)
      try Console.result(json ? result.json() : result.table)
      verdict = result.failure
    }
    let shared = try session.group.broadcast([UInt8](JSONEncoder().encode(verdict)), from: 0)
    if let failure = try JSONDecoder().decode(Failure?.self, from: Data(shared)) { throw AgreedFailure(failure) }
    try session.finish()
  }

  private func prepared(_ session: RankSession) throws -> VerificationPlan {
    if session.group.size == 1 {
      throw RequestError(
        "nothing to compare", at: "--ranks", expected: "at least 2", found: ranks.ranks.map { "\($0)" } ?? "none",
        remedy: "for example hyvideo verify --ranks 2")
    }
    try GeneratePlan.require(
      tolerance.isFinite && tolerance > 0, "invalid number", "--tolerance", "a number above 0", "\(tolerance)")
    try GeneratePlan.require(
      [0, 2].contains(video.videoSize.count), "invalid size", "--video-size", "height and width",
      "\(video.videoSize.count) numbers")
    let model = try ModelFolder(checkpoint.model ?? DemoModel.locate(), parts: checkpoint.parts)
    var request = GenerationRequest(prompt: prompt, seed: seed, defaults: model.defaults)
    if video.videoSize.count == 2 { (request.height, request.width) = (video.videoSize[0], video.videoSize[1]) }
    request.frames = video.videoLength ?? request.frames
    (request.steps, request.cfgScale) = (inferSteps, cfgScale)
    try request.validate()
    let sharing = try RankSharing(ranks, usesGuidance: request.usesGuidance, model: model, session: session)
    let backend = try RunOptions.backend(device: "cpu", threads: threads ?? sharing.threads)
    let context = ForwardContext(backend: backend as any Backend)
    try VideoPipeline(model, in: context, observer: RunObserver(.none, isMuted: true)).verify([request])
    return VerificationPlan(
      model: model, request: request, sharing: sharing, context: context,
      checkpointDigest: try GeneratePlan.digest(of: model), ranks: session.group.size)
  }
}

/// What is made twice.
struct VerificationPlan {
  let model: ModelFolder
  let request: GenerationRequest
  let sharing: RankSharing
  let context: ForwardContext
  let checkpointDigest: String
  let ranks: Int

  /// What must be the same on all ranks, by the name of its flag.
  var sharedSettings: [String: String] {
    let settings = [
      "--ulysses-degree": "\(sharing.layout.ulysses)", "--ring-degree": "\(sharing.layout.ring)",
      "--use-vae-parallel": "\(sharing.sharesTiles)", "--cfg-parallel": "\(sharing.splitsGuidance)",
    ]
    let identity = RunIdentity(request, others: ["the checkpoint's hash": checkpointDigest])
    return settings.merging(identity.byFlag) { first, _ in first }
  }

  /// Makes the video.
  func run(_ pipeline: VideoPipeline, _ observer: RunObserver) throws -> VerifiedRun {
    observer.beginVideo(recorder: nil, saver: nil, keepsLatents: true)
    let texts = try pipeline.encode([request])
    let latents = try pipeline.denoise(request, texts: texts[0])
    let frames = FrameCollector()
    try pipeline.decode(latents, tiling: request.vaeTiling, sharesTiles: sharing.sharesTiles, into: frames)
    return VerifiedRun(
      latents: observer.latents, video: frames.video, seconds: observer.steps.reduce(0) { $0 + $1.seconds })
  }
}
