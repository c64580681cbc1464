import Collectives
import Foundation
import Generation
import Layers
import TensorOps

/// The recording that `--profile` and `--prof-dit` ask for; where they do not, nothing is between the networks and their device.
struct RunProfile {
  private let plan: GeneratePlan
  private let recording: (profiler: Profiler, path: String)?
  private let start = ContinuousClock.now

  init(_ options: OutputOptions, plan: GeneratePlan) throws {
    self.plan = plan
    let beside = options.profDit ? plan.jobs.first.map { OutputPlan.beside($0.path, .trace) } : nil
    guard let path = options.profile ?? beside else {
      recording = nil
      return
    }
    let profiler = try Profiler(
      options.profDit ? .denoising : .run, group: plan.group, deviceClock: plan.device.clock())
    plan.readAhead?.report(to: profiler)
    recording = (profiler, path)
  }

  /// What the networks run in.
  func contexts(checksFiniteness: Bool) -> StageContexts {
    let backends = plan.device.backends(streamsWeights: plan.readAhead != nil)
    guard let profiler = recording?.profiler else { return backends.contexts(checksFiniteness: checksFiniteness) }
    return backends.contexts(checksFiniteness: checksFiniteness, recorder: plan.device.recorder(profiler)) {
      ProfilingBackend($0, recordingTo: profiler)
    }
  }

  /// The ranks' group, whose transfers are recorded.
  func group(_ group: any ProcessGroup) -> any ProcessGroup {
    guard let profiler = recording?.profiler else { return group }
    return ProfilingGroup(group, recordingTo: profiler)
  }

  /// Runs, and writes what was recorded, of a run that failed too; but not where other ranks would be waited for in vain.
  func recording(_ observer: RunObserver, _ run: () throws -> Void) throws {
    do { try run() } catch {
      if plan.group.size == 1 { write(observer) }
      throw error
    }
    write(observer)
  }

  /// A profile is worth no video: its failure is a warning.
  private func write(_ observer: RunObserver) {
    guard let (profiler, path) = recording else { return }
    let peak = try? plan.device.peak(besideRunOf: (ContinuousClock.now - start) / .seconds(1))
    var description = TraceDescription(
      generator: "hyvideo \(ProgramVersion.current)", threads: plan.threads)
    description.peakOperationsPerSecond = peak?.operationsPerSecond
    description.peakBytesPerSecond = peak?.bytesPerSecond
    if let request = plan.jobs.first?.request, let line = try? GenerationReport.settingsLine(request, plan: plan) {
      description.settings = ["settings": line, "checkpoint_sha256": plan.checkpointDigest, "seed": "\(request.seed)"]
    }
    do {
      try profiler.write(to: path, description, group: plan.group)
      if plan.group.rank == 0 {
        observer.note("profile: \(path); see it with " + ShellCommand.line(["hyvideo", "profile", "summary", path]))
      }
    } catch {
      observer.warn("no profile: \(error)")
    }
  }
}
