import ArgumentParser
import CPUBackend
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
  @OptionGroup(title: "Running") var running: RunOptions
  @OptionGroup(title: "Output") var output: OutputOptions

  func run() throws {
    // Everything that can be wrong is found before anything is computed.
    let plan = try RefusedBeforeWork.checking {
      var command = self
      let saved = try running.resume.map(SavedRun.init(contentsOf:))
      if let saved { ResumedFlags.fill(&command, from: saved) }
      return try GeneratePlan(command, resuming: saved)
    }
    let backend: any Backend = plan.backend
    let observer = RunObserver(plan.progress)
    for note in plan.notes { observer.note(note) }
    let pipeline = VideoPipeline(
      plan.model, in: ForwardContext(backend: backend, checksFiniteness: !running.noCheck), readAhead: plan.readAhead,
      observer: observer)
    try RefusedBeforeWork.checking { try pipeline.verify(plan.jobs.map(\.request)) }
    StopSignals.install()

    if let (_, run) = plan.resumed, let job = plan.jobs.first, run.state.step == job.request.steps {
      observer.note("all \(run.state.step) steps are done: only decoding is left")
      return try make(job, plan: plan, pipeline: pipeline, observer: observer, texts: nil) { _ in
        try observer.latentsDidChange(run.state.latents, step: run.state.step)
        try observer.stateDidChange(step: run.state.step, of: run.state.step) { run.state }
        return run.state.latents
      }
    }
    let texts = try pipeline.encode(plan.jobs.map(\.request))
    for (job, text) in zip(plan.jobs, texts) {
      try make(job, plan: plan, pipeline: pipeline, observer: observer, texts: text) { state in
        try pipeline.denoise(job.request, texts: text, from: state)
      }
    }
  }

  /// Makes one video.
  /// - Parameters:
  ///   - texts: what the prompts became; nil where nothing is left to denoise.
  ///   - denoise: gives the latents, starting from a state where there is one.
  private func make(
    _ job: GenerateJob, plan: GeneratePlan, pipeline: VideoPipeline, observer: RunObserver, texts: GenerationTexts?,
    denoise: (SamplerState?) throws -> Tensor
  ) throws {
    let shape = try pipeline.latentShape(job.request)
    let saver = try plan.saver(job)
    let state = plan.resumed?.run.state
    let recorder = try output.saveLatents.map {
      try LatentsRecorder(
        path: plan.numbered($0, job.index), shape: shape, steps: job.request.steps, from: state?.step ?? 0)
    }
    let preview = try plan.previewInterval.map { interval in
      PreviewWriter(
        fit: try pipeline.colorMaps(), path: plan.beside(job, ".preview.png"), interval: interval, request: job.request)
    }
    observer.beginVideo(
      recorder: recorder, saver: saver, preview: preview, keepsLatents: cache.measureFidelity)
    let latents = try denoise(state)

    let video = try saver.explaining(tiling: job.request.vaeTiling) {
      let writer = try VideoOutput(
        path: job.path, height: job.request.roundedHeight, width: job.request.roundedWidth,
        framesPerSecond: plan.framesPerSecond, metadata: plan.metadata(job), ffmpeg: plan.ffmpeg,
        keepsFrames: output.saveFrames != nil || cache.measureFidelity)
      try pipeline.decode(latents, tiling: job.request.vaeTiling, into: writer)
      try writer.finish()
      if let path = output.saveFrames { try writer.saveFrames(to: plan.numbered(path, job.index)) }
      return writer.video
    }
    saver.remove()
    var report = GenerationReport(job, plan: plan, observer: observer)
    if cache.measureFidelity, let video, let texts {
      let cached = FidelityMeasurement.Run(latents: observer.latents, video: video, steps: observer.steps)
      let fidelity = try measureFidelity(of: cached, job: job, texts: texts, pipeline: pipeline, observer: observer)
      report.fidelity = fidelity
      observer.note(fidelity.summary)
    }
    if let path = output.report { try report.write(to: plan.numbered(path, job.index)) }
    observer.note("seed \(job.request.seed)")
    try Console.result(job.path)
  }

  /// Makes the video again without cache and compares.
  private func measureFidelity(
    of cached: FidelityMeasurement.Run, job: GenerateJob, texts: GenerationTexts, pipeline: VideoPipeline,
    observer: RunObserver
  ) throws -> FidelityMeasurement {
    observer.note("again without cache, to compare")
    observer.beginVideo(recorder: nil, saver: nil, keepsLatents: true)
    var request = job.request
    request.cache = .none
    let frames = FrameCollector()
    try pipeline.decode(pipeline.denoise(request, texts: texts), tiling: request.vaeTiling, into: frames)
    let dense = FidelityMeasurement.Run(
      latents: observer.latents, video: frames.video ?? cached.video, steps: observer.steps)
    return try FidelityMeasurement(cached: cached, dense: dense)
  }
}
