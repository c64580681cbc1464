import Checkpoints
import Collectives
import Foundation
import Generation
import HunyuanVideo
import TensorOps

/// Saves a run as it goes: every so many steps, when it is stopped, and always before decoding.
final class RunSaver {
  /// Without an interval: runs that will take this long are saved…
  private static let longRun = 300.0
  /// …this often, in seconds.
  private static let automaticInterval = 60.0

  let path: String
  private let file: RunFile
  private let details: [String: String]
  private let interval: Int?
  /// Whether every step is kept in memory, to be saved when a rank is lost or a device fails.
  private let remembersSteps: Bool
  private let group: any ProcessGroup
  private let clock = ContinuousClock()
  private var start: (time: ContinuousClock.Instant, step: Int)?
  private var lastSave: ContinuousClock.Instant?
  private var hasFailed = false

  /// - Parameters:
  ///   - interval: steps between two saves; 0 for none, nil to save long runs by time.
  ///   - usesCache: whether a step cache carries more than the latents from step to step.
  init(
    path: String, identity: RunIdentity, details: [String: String], interval: Int?, usesCache: Bool,
    group: any ProcessGroup
  ) {
    (self.path, self.details, self.interval, self.group) = (path, details, interval, group)
    remembersSteps = !usesCache
    file = RunFile(path: path, identity: identity, details: details, ranks: group.size, isWritten: group.rank == 0)
    if group.rank == 0 { PartialName.removeLeftoverFiles(of: path) }
    RunFile.current = file
  }

  /// What a stopped run leaves, for its last message.
  var consequence: String? { file.consequence }

  /// How to decode what is saved, where the latents are complete.
  func decodeCommand(tiling: Bool) -> String {
    var words = ["hyvideo", "decode", path, "--model", details["model"] ?? ""]
    if let weights = details["vae_path"] { words += ["--vae-path", weights] }
    words += ["--output", details["output"] ?? ""]
    if !tiling { words.append("--no-vae-tiling") }
    if let device = details["device"], device != "cpu" {
      if let type = details["vae_precision"] { words += ["--vae-precision", type] }
      words += ["--device", device]
    }
    return ShellCommand.line(words)
  }

  /// Whether the file holds the latents of the last step.
  private(set) var isComplete = false

  /// Saves where it is time to.
  /// - Returns: warnings.
  /// - Throws: `Interruption` where a signal has come.
  func stateDidChange(step: Int, of steps: Int, _ state: () throws -> SamplerState?) throws -> [String] {
    let now = clock.now
    let first = start ?? (now, step)
    start = first
    // The first rank decides for all.
    let isTime = step == steps || isDue(step, of: steps, since: first, now: now)
    let answer = try group.broadcast([UInt8(StopSignals.received ?? 0), isTime ? 1 : 0], from: 0)
    guard answer.count == 2 else { preconditionFailure("run saver: the first rank has not said what to do") }
    let signal = Int32(answer[0])
    var warnings: [String] = []
    if signal != 0 || answer[1] == 1 {
      warnings = save(step, isLast: step == steps, state)
      lastSave = clock.now
    } else if remembersSteps, step > first.step, let state = try state() {
      file.remember(state)
    }
    if signal != 0 {
      let lost = step > first.step && hasFailed ? "the run could not be saved: its \(step) steps are lost" : nil
      throw Interruption(signal: signal, consequence: consequence ?? lost)
    }
    return warnings
  }

  private func isDue(
    _ step: Int, of steps: Int, since first: (time: ContinuousClock.Instant, step: Int), now: ContinuousClock.Instant
  ) -> Bool {
    if step == first.step { return false }
    if let interval { return interval > 0 && step % interval == 0 }
    let elapsed = first.time.duration(to: now) / .seconds(1)
    let total = elapsed / Double(step - first.step) * Double(steps - first.step)
    return total > Self.longRun && (lastSave ?? first.time).duration(to: now) > .seconds(Self.automaticInterval)
  }

  /// A run does not end because it cannot be saved.
  private func save(_ step: Int, isLast: Bool, _ state: () throws -> SamplerState?) -> [String] {
    do {
      // With several ranks each has a part of a cache's tensors.
      guard let state = try state(), group.size == 1 || state.caches.allSatisfy(\.tensors.isEmpty) else {
        defer { hasFailed = true }
        if hasFailed { return [] }
        return ["a step cache on several ranks cannot be saved: the run can be resumed from its last step alone"]
      }
      file.remember(state)
      try file.save()
      isComplete = isLast
      return []
    } catch {
      defer { hasFailed = true }
      return hasFailed ? [] : ["the run is not saved: \(error)"]
    }
  }

  /// The video is whole: the file has served.
  func remove() { file.remove() }

  /// Denoises; where the device, a file or a disk fails, saves the last whole step and says how to go on. Of several ranks the others do that.
  func rescuing<Result>(_ denoise: () throws -> Result) throws -> Result {
    do { return try denoise() } catch {
      // What is no number now will be none again.
      if case .nonFinite? = error as? BackendError { throw error }
      if case .stopped? = error as? BackendError { throw error }
      if group.size > 1 || error is Interruption || error is AgreedFailure { throw error }
      try? file.save()
      guard let consequence else { throw error }
      throw DenoisingFailure(reason: error, consequence: consequence)
    }
  }

  /// Says how to go on after a failure, where the latents are safe.
  func explaining<Result>(tiling: Bool, _ decode: () throws -> Result) throws -> Result {
    do { return try decode() } catch {
      if let signal = StopSignals.received { throw Interruption(signal: signal, consequence: consequence) }
      if !isComplete { throw error }
      throw DecodingFailure(reason: error, command: decodeCommand(tiling: tiling))
    }
  }
}
