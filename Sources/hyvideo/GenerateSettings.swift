import Generation
import VideoIO

/// What `generate` refuses of its flags by themselves, for a run and for its plan alike.
struct GenerateSettings {
  let framesPerSecond: Int
  let progress: ProgressStyle
  /// Steps between two previews; nil for none.
  let previewInterval: Int?
  /// Steps between two saves of the run; nil saves long runs by time.
  let saveInterval: Int?

  init(_ command: GenerateCommand, requests: [GenerationRequest], model: ModelFolder) throws {
    framesPerSecond = command.video.fps ?? model.defaults.framesPerSecond
    try GeneratePlan.requireFrameRate(framesPerSecond)
    progress = try command.running.progress.style()
    try command.running.requireIntervals()
    (previewInterval, saveInterval) = (command.running.preview, command.running.checkpointEvery)
    try GeneratePlan.require(
      command.running.resume == nil || !command.cache.measureFidelity, "cannot measure", "--resume",
      "no --measure-fidelity, which compares all steps", "both")
    // Without a name the program makes one, of a file.
    let output =
      try command.output.output.map { try OutputPlan.named($0, count: 1)[0] }
      ?? "\(command.output.savePath ?? "./results")/….mp4"
    for request in requests {
      try FrameLimits.check(width: request.roundedWidth, height: request.roundedHeight, for: output)
    }
  }
}
