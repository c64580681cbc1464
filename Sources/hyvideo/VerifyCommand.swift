import ArgumentParser
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
      Makes a short video on the first rank alone, then on all ranks, and compares the latents after each step and the frames; \
      then decodes the first rank's latents on all ranks, which must give the same bits. Exit status 1 where they differ by \
      more than rounding does.
      Example: hyvideo verify --ranks 4 --ulysses-degree 2 --ring-degree 2
      """)

  @OptionGroup(title: "Ranks") var ranks: RankOptions
  @OptionGroup(title: "Checkpoint") var checkpoint: CheckpointOptions
  @OptionGroup(title: "Video") var video: VideoOptions
  @Flag(help: "Compare all layouts of the ranks, one after another.") var allLayouts = false
  @Option(help: "What the video shows.")
  var prompt = "A red ball moves from left to right on a black background."
  @Option(help: "Seed of the noise.", transform: Seed.number) var seed: UInt64 = 0
  @Option(help: "Denoising steps.") var inferSteps = 4
  @Option(help: "True guidance: above 1 the network also runs on the negative prompt.") var cfgScale: Float = 1
  @OptionGroup(title: "Device") var device: DeviceOptions
  @Option(
    help: """
      The largest difference of latents that is rounding, relative to their norm; frames may differ by ten times as much. \
      Default: 1e-5, in 16-bit types 0.02.
      """)
  var tolerance: Double?
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    try RankLauncher.launch(ranks, threads: device.threads)
    let session = try RankSession.join()
    let (plan, _) = try session.agree {
      let plan = try RefusedBeforeWork.checking { try prepared(session) }
      return (plan, plan.sharedSettings, [])
    }
    let observer = RunObserver(json ? .none : .auto, isMuted: !session.isFirst)
    StopSignals.install()
    defer { StopSignals.uninstall() }
    try session.openLifeline(observer)
    for warning in plan.sharings[0].warnings { observer.warn(warning) }
    if plan.sharings.count == 1 { for note in plan.sharings[0].notes { observer.note(note) } }

    var expected: VerifiedRun?
    if session.isFirst {
      observer.note("on one rank")
      expected = try plan.run(plan.pipeline(observer), observer)
    }
    try session.group.barrier()
    let results = try plan.sharings.map { try compared($0, with: expected, plan, session, observer) }
    let decodings = try plan.decoding(of: expected, on: session.group, observer)
    var verdict: Failure?
    if session.isFirst {
      let report = VerificationReport(results.compactMap(\.self), decodingIsIdentical: decodings)
      try json ? Console.result(json: report.json()) : Console.result(report.table)
      verdict = report.failure
    }
    let shared = try session.group.broadcast([UInt8](JSONEncoder().encode(verdict)), from: 0)
    if let failure = try JSONDecoder().decode(Failure?.self, from: Data(shared)) { throw AgreedFailure(failure) }
    try session.finish()
  }

  /// Makes the video on all ranks; what the first finds of it.
  private func compared(
    _ sharing: RankSharing, with expected: VerifiedRun?, _ plan: VerificationPlan, _ session: RankSession,
    _ observer: RunObserver
  ) throws -> RankVerification? {
    observer.note(
      "on \(session.group.size) ranks, Ulysses \(sharing.layout.ulysses) x ring \(sharing.layout.ring)")
    let groups = try sharing.groups(session.together { try plan.device.group(session.group) })
    let found = try plan.run(plan.pipeline(observer, groups.ranks, groups.halves), observer)
    // Ranks that do not agree with each other would drift apart.
    let digests = try session.group.allGather(Array(found.digest.utf8))
    return try expected.map {
      try RankVerification(
        expected: $0, found: found, sharing: sharing, ranks: plan.ranks, ranksAgree: Set(digests).count == 1,
        tolerance: tolerance ?? plan.usualTolerance)
    }
  }

  private func prepared(_ session: RankSession) throws -> VerificationPlan {
    if session.group.size == 1 {
      throw RequestError(
        "nothing to compare", at: "--ranks", expected: "at least 2", found: ranks.ranks.map { "\($0)" } ?? "none",
        remedy: "for example hyvideo verify --ranks 2")
    }
    if let tolerance {
      try GeneratePlan.require(
        tolerance.isFinite && tolerance > 0, "invalid number", "--tolerance", "a number above 0", "\(tolerance)")
    }
    try GeneratePlan.require(
      [0, 2].contains(video.videoSize.count), "invalid size", "--video-size", "height and width",
      "\(video.videoSize.count) numbers")
    let model = try ModelFolder(checkpoint.model ?? DemoModel.locate(), parts: checkpoint.parts)
    var request = GenerationRequest(prompt: prompt, seed: seed, defaults: model.defaults)
    if video.videoSize.count == 2 { (request.height, request.width) = (video.videoSize[0], video.videoSize[1]) }
    request.frames = video.videoLength ?? request.frames
    (request.steps, request.cfgScale) = (inferSteps, cfgScale)
    try request.validate()
    try model.requireConceivable(request)
    let options = try allLayouts ? everyLayout(of: session.group.size, usesGuidance: request.usesGuidance) : [ranks]
    let sharings = try options.map {
      try RankSharing($0, usesGuidance: request.usesGuidance, model: model, session: session)
    }
    let device = try self.device.open(session, threads: sharings[0].threads)
    device.tellWarnings(session)
    var contexts = device.backends(streamsWeights: false).contexts()
    // Of a step that is not whole nothing is kept, and of one that is nothing either.
    let isStopped = contexts.autoencoder.isStopped
    (contexts.transformer.isStopped, contexts.textEncoders.isStopped) = (isStopped, isStopped)
    try VideoPipeline(model, in: contexts, observer: RunObserver(.none, isMuted: true)).verify([request])
    return VerificationPlan(
      model: model, request: request, sharings: sharings, contexts: contexts, device: device,
      checkpointDigest: try GeneratePlan.digest(of: model), ranks: session.group.size)
  }

  /// The flags of every layout.
  private func everyLayout(of count: Int, usesGuidance: Bool) throws -> [RankOptions] {
    if ranks.ulyssesDegree != nil || ranks.ringDegree != nil {
      throw RequestError(
        "contradicting flags", at: "--all-layouts", expected: "no --ulysses-degree and no --ring-degree",
        found: "one of them", remedy: "leave --all-layouts or the degrees out")
    }
    let sharing = try ranks.requireSharing(among: count, usesGuidance: usesGuidance)
    return RankLayout.all(of: sharing).map { layout in
      var options = ranks
      (options.ulyssesDegree, options.ringDegree) = (layout.ulysses, layout.ring)
      return options
    }
  }
}

/// What is made twice.
struct VerificationPlan {
  let model: ModelFolder
  let request: GenerationRequest
  /// The layouts that are compared: how attention is shared differs, nothing else.
  let sharings: [RankSharing]
  let contexts: StageContexts
  let device: any ComputeDevice
  let checkpointDigest: String
  let ranks: Int

  /// What must be the same on all ranks, by the name of its flag.
  var sharedSettings: [String: String] {
    let settings = [
      "--ulysses-degree": sharings.map { "\($0.layout.ulysses)" }.joined(separator: " "),
      "--ring-degree": sharings.map { "\($0.layout.ring)" }.joined(separator: " "),
      "--use-vae-parallel": "\(sharesTiles)", "--cfg-parallel": "\(sharings[0].splitsGuidance)",
    ]
    let identity = RunIdentity(request, others: ["the checkpoint's hash": checkpointDigest])
    return settings.merging(identity.byFlag) { first, _ in first }
  }

  private var sharesTiles: Bool { sharings[0].sharesTiles }
  /// What rounding comes to in the transformer's type.
  var usualTolerance: Double { contexts.transformer.backend.activationType == .float32 ? 1e-5 : 0.02 }

  func pipeline(
    _ observer: RunObserver, _ ranks: SequenceGroup = SequenceGroup(), _ halves: GuidanceHalves? = nil
  ) -> VideoPipeline {
    VideoPipeline(
      model, in: contexts, ranks: ranks, halves: halves, keepsNetworks: !device.hasOwnMemory, observer: observer)
  }

  /// Makes the video.
  func run(_ pipeline: VideoPipeline, _ observer: RunObserver) throws -> VerifiedRun {
    observer.beginVideo(recorder: nil, saver: nil, keepsLatents: true)
    let texts = try pipeline.encode([request])
    let latents = try pipeline.denoise(request, texts: texts[0])
    let frames = FrameCollector()
    try pipeline.decode(latents, tiling: request.vaeTiling, sharesTiles: sharesTiles, into: frames)
    return VerifiedRun(
      latents: observer.latents, video: frames.video, seconds: observer.steps.reduce(0) { $0 + $1.seconds })
  }

  /// Whether the first rank's latents become the same frames on all ranks, to the last bit; nil where tiles are not dealt out, and
  /// on ranks without frames.
  func decoding(of expected: VerifiedRun?, on group: any ProcessGroup, _ observer: RunObserver) throws -> Bool? {
    if !sharesTiles { return nil }
    let ranks = try SequenceGroup(group, layout: RankLayout(ulysses: 1, ring: group.size))
    let pipeline = pipeline(observer, ranks)
    let latents = try group.broadcast(expected?.latents.last, shape: pipeline.latentShape(request), from: 0)
    let frames = FrameCollector()
    try pipeline.decode(latents, tiling: request.vaeTiling, into: frames)
    guard let found = frames.video, let video = expected?.video else { return nil }
    return found.shape == video.shape && found.floats().elementsEqual(video.floats()) { $0.bitPattern == $1.bitPattern }
  }
}
