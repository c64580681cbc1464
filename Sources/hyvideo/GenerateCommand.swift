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
    let plan = try RefusedBeforeWork.checking { try GeneratePlan(self) }
    let backend: any Backend = plan.backend
    let observer = RunObserver()
    for note in plan.notes { observer.note(note) }
    let pipeline = VideoPipeline(
      plan.model, in: ForwardContext(backend: backend), group: plan.group, readAhead: plan.readAhead,
      observer: observer)
    try RefusedBeforeWork.checking { try pipeline.verify(plan.jobs.map(\.request)) }

    let texts = try pipeline.encode(plan.jobs.map(\.request))
    for (job, text) in zip(plan.jobs, texts) {
      let shape = try pipeline.latentShape(job.request)
      observer.beginVideo(
        recorder: try output.saveLatents.map {
          try LatentsRecorder(path: plan.numbered($0, job.index), shape: shape, steps: job.request.steps)
        }, keepsLatents: cache.measureFidelity)
      let latents = try pipeline.denoise(job.request, texts: text)

      let writer = try VideoOutput(
        job, plan: plan, keepsFrames: output.saveFrames != nil || cache.measureFidelity)
      try pipeline.decode(latents, tiling: job.request.vaeTiling, into: writer)
      try writer.finish()
      if let path = output.saveFrames { try writer.saveFrames(to: plan.numbered(path, job.index)) }
      var report = GenerationReport(job, plan: plan, observer: observer)
      if cache.measureFidelity, let video = writer.video {
        let cached = FidelityMeasurement.Run(latents: observer.latents, video: video, steps: observer.steps)
        let fidelity = try measureFidelity(of: cached, job: job, texts: text, pipeline: pipeline, observer: observer)
        report.fidelity = fidelity
        observer.note(fidelity.summary)
      }
      if let path = output.report { try report.write(to: plan.numbered(path, job.index)) }
      observer.note("seed \(job.request.seed)")
      try Console.result(job.path)
    }
  }

  /// Makes the video again without cache and compares.
  private func measureFidelity(
    of cached: FidelityMeasurement.Run, job: GenerateJob, texts: GenerationTexts, pipeline: VideoPipeline,
    observer: RunObserver
  ) throws -> FidelityMeasurement {
    observer.note("again without cache, to compare")
    observer.beginVideo(recorder: nil, keepsLatents: true)
    var request = job.request
    request.cache = .none
    let frames = FrameCollector()
    try pipeline.decode(pipeline.denoise(request, texts: texts), tiling: request.vaeTiling, into: frames)
    let dense = FidelityMeasurement.Run(
      latents: observer.latents, video: frames.video ?? cached.video, steps: observer.steps)
    return try FidelityMeasurement(cached: cached, dense: dense)
  }
}
