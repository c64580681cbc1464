import Foundation
import Generation
import TensorOps

/// A forecast for programs, and beside it what came of it.
struct ForecastReport: Encodable {
  struct Stage: Encodable {
    let name: String
    let units: Int
    let hostPeakBytes: Int
    let devicePeakBytes: Int
    let tensorBytes: Int
    let newBytes: Int
    let weightBytes: Int
    let bytesRead: Int
    let bytesSent: Int
    let operations: Double
    let seconds: Double
    /// Of the seconds: those of operations that were timed, or scaled from such; those by rates that nobody timed here; those spent
    /// waiting for weights.
    let timedSeconds: Double
    let guessedSeconds: Double
    let assumedSeconds: Double
    let readingSeconds: Double
    let guessedShare: Double
    /// What was measured, after a run.
    var actualPeakBytes: Int?
    var actualTensorBytes: Int?
    var actualNewBytes: Int?
    var actualSeconds: Double?
  }

  struct Operation: Encodable {
    let kind: String
    let format: String
    let calls: Int
    let operations: Double
    let bytesRead: Double
    let bytesWritten: Double
    let weightBytes: Double
    /// Of all calls in a step.
    let seconds: Double
  }

  struct Setting: Encodable {
    let height: Int
    let width: Int
    let frames: Int
    let steps: Int
    let vaeTiling: Bool
    let cache: String
    let videos: Int
  }

  let setting: Setting
  let fits: Bool
  let hostPeakBytes: Int
  let devicePeakBytes: Int
  let programBytes: Int
  /// Absent where the run would be on a host that is not here, and no flag says what that has.
  let limitBytes: Int?
  let limitSource: String?
  /// `cpu`, `ascend`
  let device: String
  /// The cards of each host; absent where there is nothing to choose from.
  let cards: [String]?
  /// Of the device's own memory; absent where it computes in the host's.
  let deviceLimitBytes: Int?
  let deviceLimitSource: String?
  /// Where times are from.
  let timeSource: String
  let seconds: Double
  let secondsUncertainty: Double
  /// How much less it may be where a step cache skips steps as it goes; absent without one.
  let skippableSeconds: Double?
  let stepSeconds: Double
  let skippedStepSeconds: Double?
  let stepOperations: Double
  let stepBytesSent: Double
  /// The share of the time that rests on operations unlike those that were timed.
  let guessedShare: Double
  let ranks: Int
  let ulyssesDegree: Int
  let ringDegree: Int
  let layoutReason: String?
  let threads: Int
  /// How much longer ranks take because their threads are more than the host's cores; 1 where they are not.
  let crowdingFactor: Double
  /// What to say of it.
  let crowdingWarning: String?
  /// Weights read ahead of their use; absent where all stay in memory.
  let weightWindowBytes: Int?
  var stages: [Stage]
  let operations: [Operation]
  /// A command that fits, where this does not and there is one.
  var proposal: String?

  init(_ forecast: Forecast, request: GenerationRequest, layoutReason: String?, threads: Int, proposal: String? = nil) {
    let plan = forecast.plan
    setting = Setting(
      height: request.roundedHeight, width: request.roundedWidth, frames: request.frames, steps: request.steps,
      vaeTiling: request.vaeTiling, cache: request.cache.method, videos: forecast.videos)
    fits = forecast.fits
    (hostPeakBytes, devicePeakBytes) = (plan.hostPeakBytes, plan.devicePeakBytes)
    programBytes = plan.programBytes
    let host = forecast.limit.host
    (limitBytes, limitSource) = host.bytes == .max ? (nil, nil) : (host.bytes, host.source)
    (device, cards, timeSource) = (forecast.planning.name, forecast.planning.cards, forecast.timing.source)
    (deviceLimitBytes, deviceLimitSource) = (forecast.limit.device?.bytes, forecast.limit.device?.source)
    (seconds, secondsUncertainty) = (forecast.seconds, forecast.uncertainty)
    skippableSeconds = forecast.skippableSeconds > 0 ? forecast.skippableSeconds : nil
    (stepSeconds, skippedStepSeconds) = (forecast.stepSeconds, forecast.skippedStepSeconds)
    stepOperations = plan.denseStep.total.operations
    stepBytesSent = Double(plan[.denoise]?.bytesSent ?? 0) / Double(max(request.steps, 1))
    guessedShare = forecast.guessedShare
    (ranks, ulyssesDegree, ringDegree) = (
      plan.setting.ranks, plan.setting.layout.ulysses, plan.setting.layout.ring
    )
    self.layoutReason = layoutReason
    self.threads = threads
    (crowdingFactor, crowdingWarning) = (forecast.crowding.factor, forecast.crowding.warning)
    weightWindowBytes = plan.setting.windowBytes
    stages = forecast.stages.map { stage in
      Stage(
        name: stage.name, units: stage.plan.units, hostPeakBytes: stage.plan.hostPeakBytes,
        devicePeakBytes: stage.plan.devicePeakBytes, tensorBytes: stage.plan.tensorBytes,
        newBytes: stage.plan.newBytes, weightBytes: stage.plan.weightBytes, bytesRead: stage.plan.bytesRead,
        bytesSent: stage.plan.bytesSent,
        operations: stage.plan.work.total.operations, seconds: stage.seconds,
        timedSeconds: stage.time.timed, guessedSeconds: stage.time.untimed,
        assumedSeconds: stage.time.assumed, readingSeconds: stage.time.reading, guessedShare: stage.guessedShare)
    }
    operations = plan.denseStep.totals
      .map { group, work in
        Operation(
          kind: group.kind.rawValue, format: group.format, calls: work.calls, operations: work.operations,
          bytesRead: work.bytesRead, bytesWritten: work.bytesWritten, weightBytes: work.weightBytes,
          seconds: forecast.timing.seconds(of: plan.denseStep.only(group)).seconds)
      }
      .sorted { ($0.kind, $0.format) < ($1.kind, $1.format) }
    self.proposal = proposal
  }

  /// Puts what was measured beside what was planned.
  /// - Parameter isComparison: it was measured on the run without cache that a cached one is compared with.
  mutating func compare(with records: [RunObserver.StageRecord], isComparison: Bool = false) {
    for record in records {
      let name = Forecast.name(record.name, isComparison: isComparison)
      guard let index = stages.firstIndex(where: { $0.name == name }) else { continue }
      stages[index].actualPeakBytes = record.peakRSSBytes
      stages[index].actualTensorBytes = record.peakTensorBytes
      stages[index].actualNewBytes = record.newTensorBytes
      stages[index].actualSeconds = record.seconds
    }
  }

  /// One line of JSON.
  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  /// `planned and actual: 84.1 and 85.0 MB, 18 and 17 s`
  var comparison: String? {
    let measured = stages.filter { $0.actualSeconds != nil }
    guard !measured.isEmpty else { return nil }
    let planned = measured.reduce(0) { $0 + $1.seconds }
    let actual = measured.reduce(0) { $0 + ($1.actualSeconds ?? 0) }
    let peak = measured.map(\.hostPeakBytes).max() ?? 0
    let actualPeak = measured.compactMap(\.actualPeakBytes).max() ?? 0
    return "planned \(ByteCount.text(peak)) and \(ProgressPrinter.seconds(planned)), "
      + "took \(ByteCount.text(actualPeak)) and \(ProgressPrinter.seconds(actual))"
  }
}
