import Foundation
import Generation
import TensorCore
import TensorOps

/// Follows a run: prints progress, keeps times and memory for the report, and latents where they are to be saved.
final class RunObserver: GenerationObserver {
  struct StageRecord: Codable {
    let name: String
    let seconds: Double
    let peakRSSBytes: Int
    /// Of it tensors, working memory and what is kept for reuse.
    let peakTensorBytes: Int
    /// Of these, what came from the system in all.
    let newTensorBytes: Int
    /// Of a device's own memory; nil where it has none.
    var peakDeviceBytes: Int?
    /// From the disk; nil where the system does not tell.
    let bytesRead: Int?

    enum CodingKeys: String, CodingKey {
      case name, seconds
      case peakTensorBytes = "peak_tensor_bytes"
      case newTensorBytes = "new_tensor_bytes"
      case bytesRead = "bytes_read"
      case peakDeviceBytes = "peak_device_bytes"
      case peakRSSBytes = "peak_rss_bytes"
    }
  }

  private let progress: ProgressPrinter
  private let isMuted: Bool
  private let clock = ContinuousClock()
  private var stageStart: ContinuousClock.Instant
  private var recorder: LatentsRecorder?
  private var saver: RunSaver?
  private var preview: PreviewWriter?
  private var slowSteps = 0
  /// What the run computes on, where its memory is to be watched.
  private let device: (any ComputeDevice)?
  /// What a step that computes everything should take; nil where that is not known well.
  var plannedStepSeconds: Double?
  private var bytesReadBefore: Int?
  private var systemBytesBefore = 0
  /// When the run began, and the latents of the last step.
  let started = Date()
  private(set) var lastLatents: Tensor?
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

  /// - Parameters:
  ///   - isMuted: prints nothing, on ranks other than the first.
  ///   - device: what the run computes on, for its memory.
  init(_ style: ProgressStyle = .auto, isMuted: Bool = false, device: (any ComputeDevice)? = nil) {
    self.isMuted = isMuted
    self.device = device
    progress = ProgressPrinter(style, isMuted: isMuted)
    stageStart = clock.now
    for warning in device?.warnings ?? [] { warn(warning) }
  }

  /// Begins another video.
  /// - Parameters:
  ///   - recorder: is given its latents.
  ///   - saver: is given what is needed to go on.
  ///   - preview: shows them.
  ///   - keepsLatents: whether they also stay in memory.
  func beginVideo(recorder: LatentsRecorder?, saver: RunSaver?, preview: PreviewWriter? = nil, keepsLatents: Bool) {
    let shared = shared ?? (stages.count, warnings.count)
    self.shared = shared
    stages.removeSubrange(shared.stages...)
    warnings.removeSubrange(shared.warnings...)
    steps.removeAll()
    latents.removeAll()
    self.keepsLatents = keepsLatents
    self.saver = saver
    self.preview = preview
    slowSteps = 0
    self.recorder = recorder
  }

  func stageDidStart(_ stage: GenerationStage, units: Int) {
    ProcessMemory.resetPeak()
    HostBufferPool.shared.resetPeak()
    _ = device?.takeMemoryPeak()
    bytesReadBefore = ProcessMemory.bytesRead()
    systemBytesBefore = HostBufferPool.shared.statistics.systemBytes
    stageStart = clock.now
    progress.begin(stage, units: units)
  }

  func stageDidAdvance(_ stage: GenerationStage) { progress.advance() }

  func stageDidEnd(_ stage: GenerationStage) {
    let peak = ProcessMemory.peakResidentBytes()
    let pool = HostBufferPool.shared.statistics
    peakRSSBytes = max(peakRSSBytes, peak)
    stages.append(
      StageRecord(
        name: stage.rawValue, seconds: stageStart.duration(to: clock.now) / .seconds(1), peakRSSBytes: peak,
        peakTensorBytes: pool.peakBytesHeld, newTensorBytes: pool.systemBytes - systemBytesBefore,
        peakDeviceBytes: device?.takeMemoryPeak(),
        bytesRead: ProcessMemory.bytesRead().flatMap { now in bytesReadBefore.map { now - $0 } }))
    progress.end()
  }

  func latentsDidChange(_ latents: Tensor, step: Int) throws {
    lastLatents = latents
    if keepsLatents { self.latents.append(latents) }
    try recorder?.record(latents, step: step)
    do {
      if let picture = try preview?.latentsDidChange(latents, step: step) { progress.show(picture) }
    } catch BackendError.stopped {
      // The run ends after this step.
    } catch {
      // A picture on the way is worth no run.
      preview = nil
      warn("no previews: \(error)")
    }
  }

  func stateDidChange(step: Int, of steps: Int, _ state: () throws -> SamplerState?) throws {
    for warning in try saver?.stateDidChange(step: step, of: steps, state) ?? [] { warn(warning) }
  }

  func checkInterruption() throws {
    // The first rank ends all; the others do not know where it is.
    if !isMuted, let signal = StopSignals.received {
      throw Interruption(signal: signal, consequence: saver?.consequence)
    }
  }

  func stepDidEnd(_ record: StepRecord) {
    if record.skipped { progress.skip() } else { warnIfSlow(record) }
    steps.append(record)
  }

  /// Tells of a machine that has become slow (busy, out of memory, hot), a few times.
  private func warnIfSlow(_ record: StepRecord) {
    let usual = steps.filter { !$0.skipped }.map(\.seconds).sorted()
    if let planned = plannedStepSeconds, slowSteps < 3, record.seconds > 2 * planned, record.seconds > planned + 1 {
      slowSteps += 1
      return warn(
        "step \(record.index + 1) took \(ProgressPrinter.seconds(record.seconds)), planned were "
          + "\(ProgressPrinter.seconds(planned)): is the machine busy or short of memory?")
    }
    guard usual.count >= 3, slowSteps < 3 else { return }
    let median = usual[usual.count / 2]
    if record.seconds > 2 * median && record.seconds > median + 1 {
      slowSteps += 1
      warn(
        "step \(record.index + 1) took \(ProgressPrinter.seconds(record.seconds)), those before "
          + "\(ProgressPrinter.seconds(median)): is the machine busy or short of memory?")
    }
  }

  func warn(_ message: String) {
    warnings.append(message)
    progress.warn(message)
  }

  func note(_ message: String) { progress.note(message) }
}
