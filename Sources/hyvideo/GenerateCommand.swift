import ArgumentParser
import Checkpoints
import Collectives
import Foundation
import Generation
import Layers
import TensorCore
import TensorOps
import VideoIO

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Makes a video from a prompt.",
    discussion: """
      Example: hyvideo generate --prompt "A red ball moves from left to right on a black background." \
      --seed 42 --output ball.mp4
      """)

  @OptionGroup(title: "Prompt") var prompt: PromptOptions
  @OptionGroup(title: "Checkpoint") var checkpoint: CheckpointOptions
  @OptionGroup(title: "Video") var video: VideoOptions
  @OptionGroup(title: "Sampling") var sampling: SamplingOptions
  @OptionGroup(title: "Step cache") var cache: CacheOptions
  @OptionGroup(title: "Device") var device: DeviceOptions
  @OptionGroup(title: "Running") var running: RunOptions
  @OptionGroup(title: "Ranks") var ranks: RankOptions
  @OptionGroup(title: "Memory") var memory: PlanOptions
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup(title: "Configuration") var configuration: ConfigurationOptions

  mutating func run() throws {
    try fillFromConfiguration()
    if memory.dryRun { return try PlanCommand.report(on: self, asJSON: false, recalibrates: false) }
    try generate()
  }

  private func generate() throws {
    try RankLauncher.launch(try startedRanks(), threads: device.threads)
    let session = try RankSession.join()
    // Everything that can be wrong is found before anything is computed.
    var plan = try prepared(session)
    try plan.joinDevices(session)
    let profile = try RunProfile(output, plan: plan)
    let observer = RunObserver(plan.progress, isMuted: !session.isFirst, device: plan.device)
    observer.plannedStepSeconds = plan.forecast?.trustedStepSeconds
    let groups = try plan.sharing.groups(profile.group(plan.group))
    let pipeline = VideoPipeline(
      plan.model, in: profile.contexts(checksFiniteness: !running.noCheck), ranks: groups.ranks, halves: groups.halves,
      readAhead: plan.readAhead, keepsNetworks: !plan.device.hasOwnMemory, observer: observer)
    try session.together {
      try RefusedBeforeWork.checking { try pipeline.verify(plan.jobs.map(\.request)) }
    }
    if let warning = plan.forecast?.limit.warning { observer.warn(warning) }
    for warning in plan.warnings { observer.warn(warning) }
    for note in plan.notes { observer.note(note) }
    if let (_, saved) = plan.resumed, let warning = plan.sharingWarning(since: saved) { observer.warn(warning) }
    if session.isFirst {
      for warning in try OutputSpace.warnings(self, plan, shape: pipeline.latentShape) { observer.warn(warning) }
    }
    StopSignals.install()
    defer { StopSignals.uninstall() }
    try session.openLifeline(observer)
    var unwritten = UnwrittenFiles()
    try profile.recording(observer) {
      try makeAll(plan, pipeline: pipeline, observer: observer, unwritten: &unwritten)
    }
    try session.finish()
    if !unwritten.isEmpty { throw unwritten }
  }

  /// The ranks to start: those of a saved run where no flag and no launcher says how many.
  private func startedRanks() throws -> RankOptions {
    var options = ranks
    if let file = running.resume, options.ranks == nil, !RankSession.isLaunched {
      options.ranks = try RefusedBeforeWork.checking {
        ResumedFlags.ranks(of: try WrittenFile.run.reading(file, SavedRun.init(contentsOf:)))
      }
    }
    return options
  }

  private func makeAll(
    _ plan: GeneratePlan, pipeline: VideoPipeline, observer: RunObserver, unwritten: inout UnwrittenFiles
  ) throws {
    if let (_, run) = plan.resumed, let job = plan.jobs.first, run.state.step == job.request.steps {
      observer.note("every step is done: only decoding is left")
      try make(job, plan: plan, pipeline: pipeline, observer: observer, texts: nil, unwritten: &unwritten) { _ in
        try observer.latentsDidChange(run.state.latents, step: run.state.step)
        try observer.stateDidChange(step: run.state.step, of: run.state.step) { run.state }
        return run.state.latents
      }
      return
    }
    let texts = try pipeline.encode(plan.jobs.map(\.request))
    for (job, text) in zip(plan.jobs, texts) {
      try make(job, plan: plan, pipeline: pipeline, observer: observer, texts: text, unwritten: &unwritten) { state in
        try pipeline.denoise(job.request, texts: text, from: state)
      }
    }
  }

  /// The plan that all ranks agree on.
  private func prepared(_ session: RankSession) throws -> GeneratePlan {
    var (plan, paths) = try session.agree {
      let plan = try RefusedBeforeWork.checking {
        var command = self
        let saved = try running.resume.map { try WrittenFile.run.reading($0, SavedRun.init(contentsOf:)) }
        if let saved, let path = running.resume { try NonFiniteLatents.check(saved, path: path) }
        if let saved { ResumedFlags.fill(&command, from: saved, ranks: session.group.size) }
        var plan = try GeneratePlan(command, resuming: saved, session: session)
        try plan.foresee(command, session: session)
        try plan.requireEncoder()
        try plan.identify()
        return plan
      }
      return (plan, plan.sharedSettings(self), plan.jobs.map(\.path))
    }
    plan.adopt(paths: paths)
    return plan
  }

  /// Makes one video. The first rank writes it.
  /// - Parameters:
  ///   - texts: what the prompts became; nil where nothing is left to denoise.
  ///   - unwritten: is told of files beside the video that could not be written.
  ///   - denoise: gives the latents, starting from a state where there is one.
  private func make(
    _ job: GenerateJob, plan: GeneratePlan, pipeline: VideoPipeline, observer: RunObserver, texts: GenerationTexts?,
    unwritten: inout UnwrittenFiles, denoise: (SamplerState?) throws -> Tensor
  ) throws {
    let (saver, start) = (try plan.saver(job), plan.group.statistics)
    let state = plan.resumed?.run.state
    try begin(job, plan: plan, pipeline: pipeline, observer: observer, saver: saver)
    let latents = try saver.rescuing { try denoise(state) }
    do {
      try (RankSession.current ?? .alone).together {
        try NonFiniteLatents.check(latents, wasChecked: !running.noCheck)
      }
    } catch {
      // Nobody can go on from such latents. Where a rank was lost, what is saved serves.
      if error is NonFiniteLatents || error is AgreedFailure { saver.remove() }
      throw error
    }

    // What comes after a whole video may fail, and others may wait for the video.
    var printed: Result<Void, any Error>?
    let video = try saver.explaining(tiling: job.request.vaeTiling) {
      guard let ffmpeg = plan.ffmpeg else {
        try plan.decode(latents, job, pipeline, into: FrameCollector())
        return nil as Tensor?
      }
      let writer = try VideoOutput(
        path: job.path, height: job.request.roundedHeight, width: job.request.roundedWidth,
        framesPerSecond: plan.framesPerSecond, metadata: plan.metadata(job), ffmpeg: ffmpeg,
        collector: keepsFrames ? FrameCollector(frameCount: job.request.frames) : nil)
      try plan.decode(latents, job, pipeline, into: writer)
      try writer.finish()
      printed = Result { try Console.written(path: job.path) }
      if let path = output.saveFrames { try writer.saveFrames(to: plan.numbered(path, job.index)) }
      return writer.video
    }
    saver.remove()
    let communication = try plan.communication(since: start, peakRSSBytes: observer.peakRSSBytes)
    var report = GenerationReport(job, plan: plan, observer: observer, communication: communication)
    if cache.measureFidelity, let texts {
      let cached = FidelityMeasurement.Run(latents: observer.latents, video: video, steps: observer.steps)
      report.fidelity = try measureFidelity(
        of: cached, job: job, plan: plan, texts: texts, pipeline: pipeline, observer: observer)
      report.plan?.compare(with: observer.stages, isComparison: true)
    }
    if plan.group.rank > 0 { return }
    if let comparison = report.plan?.comparison { observer.note(comparison) }
    if let path = output.report.map({ plan.numbered($0, job.index) }) {
      unwritten.attempt(path, observer) { try report.write(to: path) }
    }
    observer.note("seed \(job.request.seed)")
    try printed?.get()
  }

  /// Whether all frames stay in memory until they are written or compared.
  var keepsFrames: Bool { output.saveFrames != nil || cache.measureFidelity }

  /// Prepares to follow a video. Its latents and previews are written by the first rank.
  private func begin(
    _ job: GenerateJob, plan: GeneratePlan, pipeline: VideoPipeline, observer: RunObserver, saver: RunSaver
  ) throws {
    guard plan.group.rank == 0 else {
      return observer.beginVideo(recorder: nil, saver: saver, keepsLatents: false)
    }
    let shape = try pipeline.latentShape(job.request)
    let recorder = try output.saveLatents.map {
      try LatentsRecorder(
        path: plan.numbered($0, job.index), shape: shape, steps: job.request.steps,
        from: plan.resumed?.run.state.step ?? 0)
    }
    let preview = try plan.previewInterval.map { interval in
      PreviewWriter(
        fit: try pipeline.colorMaps(), path: OutputPlan.beside(job.path, .preview), interval: interval,
        request: job.request)
    }
    observer.beginVideo(
      recorder: recorder, saver: saver, preview: preview, keepsLatents: cache.measureFidelity)
  }

  /// Makes the video again without cache and compares, on the first rank.
  private func measureFidelity(
    of cached: FidelityMeasurement.Run, job: GenerateJob, plan: GeneratePlan, texts: GenerationTexts,
    pipeline: VideoPipeline, observer: RunObserver
  ) throws -> FidelityMeasurement? {
    observer.note("again without cache, to compare")
    observer.beginVideo(recorder: nil, saver: nil, keepsLatents: plan.group.rank == 0)
    var request = job.request
    request.cache = .none
    let frames = FrameCollector(frameCount: request.frames)
    do {
      try plan.decode(pipeline.denoise(request, texts: texts), job, pipeline, into: frames)
    } catch let error as BackendError {
      guard case .stopped = error, let signal = StopSignals.received else { throw error }
      throw Interruption(signal: signal, consequence: "the video is whole, and was not compared")
    }
    let dense = FidelityMeasurement.Run(latents: observer.latents, video: frames.video, steps: observer.steps)
    let fidelity = try FidelityMeasurement(cached: cached, dense: dense)
    if let fidelity { observer.note(fidelity.summary) }
    return fidelity
  }
}
