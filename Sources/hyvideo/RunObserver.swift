import Foundation
import Generation
import TensorCore

/// Follows a run: prints progress, keeps times and memory for the report, and latents where they are to be saved.
final class RunObserver: GenerationObserver {
  struct StageRecord: Codable {
    let name: String
    let seconds: Double
    let peakRSSBytes: Int

    enum CodingKeys: String, CodingKey {
      case name, seconds
      case peakRSSBytes = "peak_rss_bytes"
    }
  }

  private let progress = ProgressPrinter()
  private let clock = ContinuousClock()
  private var stageStart: ContinuousClock.Instant
  private var recorder: LatentsRecorder?
  private(set) var stages: [StageRecord] = []
  private(set) var steps: [StepRecord] = []
  /// The latents of the video under way, noise first, where they are kept.
  private(set) var latents: [Tensor] = []
  private var keepsLatents = false
  private(set) var warnings: [String] = []
  /// How many stages and warnings belong to all videos: those before the first.
  private var shared: (stages: Int, warnings: Int)?
  /// The largest resident size of the whole run.
  private(set) var peakRSSBytes = 0

  init() { stageStart = clock.now }

  /// Begins another video.
  /// - Parameters:
  ///   - recorder: is given its latents.
  ///   - keepsLatents: whether they also stay in memory.
  func beginVideo(recorder: LatentsRecorder?, keepsLatents: Bool) {
    let shared = shared ?? (stages.count, warnings.count)
    self.shared = shared
    stages.removeSubrange(shared.stages...)
    warnings.removeSubrange(shared.warnings...)
    steps.removeAll()
    latents.removeAll()
    self.keepsLatents = keepsLatents
    self.recorder = recorder
  }

  func stageDidStart(_ stage: GenerationStage, units: Int) {
    ProcessMemory.resetPeak()
    stageStart = clock.now
    progress.begin(stage, units: units)
  }

  func stageDidAdvance(_ stage: GenerationStage) { progress.advance() }

  func stageDidEnd(_ stage: GenerationStage) {
    let peak = ProcessMemory.peakResidentBytes()
    peakRSSBytes = max(peakRSSBytes, peak)
    stages.append(
      StageRecord(
        name: stage.rawValue, seconds: stageStart.duration(to: clock.now) / .seconds(1), peakRSSBytes: peak))
    progress.end(skipped: stage == .denoise ? steps.count { $0.skipped } : 0)
  }

  func latentsDidChange(_ latents: Tensor, step: Int) throws {
    if keepsLatents { self.latents.append(latents) }
    try recorder?.record(latents, step: step)
  }

  func stepDidEnd(_ record: StepRecord) { steps.append(record) }

  func warn(_ message: String) {
    warnings.append(message)
    progress.note("warning: \(message)")
  }

  func note(_ message: String) { progress.note(message) }
}
