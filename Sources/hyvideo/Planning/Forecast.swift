import Foundation
import Generation
import TensorCore
import TensorOps

/// What a run will need: memory from the networks themselves, time from times of operations on this machine.
struct Forecast {
  /// One stage as planned.
  struct Stage {
    let plan: RunPlan.Stage
    let time: PlannedTime
    /// Of its time, what rests on operations unlike those that were timed.
    let guessedShare: Double

    var seconds: Double { time.seconds }

    var name: String { Forecast.name(plan.stage.rawValue, isComparison: plan.isComparison) }
  }

  let plan: RunPlan
  let limit: MemoryLimit
  let stages: [Stage]
  /// A step that computes everything, and one that a cache skips.
  let stepSeconds: Double
  let skippedStepSeconds: Double?
  /// The share of the time that rests on operations unlike those that were timed.
  let guessedShare: Double
  let videos: Int
  /// How the ranks of a host share its cores.
  let crowding: HostCrowding
  let timing: any PlanTiming
  let planning: DevicePlanning

  var fits: Bool { limit.allows(plan) }
  /// Of all videos.
  private var time: PlannedTime {
    stages.reduce(into: PlannedTime()) { $0 += $1.time * ($1.plan.stage.isPerVideo ? Double(videos) : 1) }
  }
  var seconds: Double { time.seconds }
  /// The time may be so much more or less.
  var uncertainty: Double { time.uncertainty }
  /// What a step cache may save that decides as it goes: planned are all steps. It computes the first and the last.
  let skippableSeconds: Double

  init(
    _ plan: RunPlan, on planning: DevicePlanning, limit: MemoryLimit, timing: any PlanTiming,
    loadSeconds: [GenerationStage: Double], request: GenerationRequest, videos: Int, crowding: HostCrowding
  ) {
    (self.planning, self.timing) = (planning, timing)
    (self.plan, self.limit, self.videos, self.crowding) = (plan, limit, videos, crowding)
    var (guessed, total) = (0.0, 1e-9)
    var done: Set<PlannedOperation> = []
    stages = plan.stages.map { stage in
      let compute = timing.time(of: stage.work)
      guessed += compute.untimed
      total += compute.seconds
      // The first rank alone encodes prompts, and decodes where tiles are not dealt out.
      let takesTurns =
        switch stage.stage {
        case .encodePrompts: false
        case .decode: plan.setting.sharesTiles
        default: true
        }
      var time = compute * (takesTurns ? crowding.factor : 1)
      time.assumed += timing.transferSeconds(of: stage, in: plan.setting.layout)
      let new = Set(stage.work.calls.keys).subtracting(done)
      time.assumed += timing.startSeconds(of: new)
      done.formUnion(new)
      time.assumed += Double(stage.work.total.calls) * timing.secondsPerCall
      if planning.isHere && !stage.isComparison { time.assumed += loadSeconds[stage.stage] ?? 0 }
      switch stage.stage {
      case .denoise: time.assumed += Rates.save
      case .decode:
        time.assumed += Double(3 * request.frames * request.roundedHeight * request.roundedWidth) * Rates.value
      default: break
      }
      let reading = timing.readingSeconds(of: stage)
      if plan.setting.windowBytes == nil {
        time.read(fast: reading.fast, slow: reading.slow)
      } else {
        time.readAhead(fast: reading.fast, slow: reading.slow)
      }
      return Stage(
        plan: stage, time: time,
        guessedShare: (compute.untimed) / max(compute.seconds, 1e-9))
    }
    guessedShare = guessed / total
    let step = Self.seconds(plan.denseStep, timing) * crowding.factor
    let skipped = plan.skippedStep.map { Self.seconds($0, timing) * crowding.factor }
    (stepSeconds, skippedStepSeconds) = (step, skipped)
    let mostSkipped = request.cache.decidesByChange ? max((plan[.denoise]?.units ?? 0) - 2, 0) * videos : 0
    skippableSeconds = Double(mostSkipped) * max(step - (skipped ?? step), 0)
  }

  /// Of one step, ranks that take turns left aside.
  private static func seconds(_ step: OperationCounts, _ timing: any PlanTiming) -> Double {
    timing.seconds(of: step).seconds + Double(step.total.calls) * timing.secondsPerCall
  }

  /// What no device changes: seconds of one number of a pixel on its way to the encoder, and of writing the latents safely to the
  /// disk before they are decoded.
  private enum Rates {
    static let value = 8e-9
    static let save = 8e-3
  }

  /// The second run that `--measure-fidelity` asks for has the same stages again.
  static func name(_ stage: String, isComparison: Bool) -> String { stage + (isComparison ? ", without cache" : "") }

  /// What to say of the time that a step cache may save.
  static func skipping(_ seconds: Double) -> String {
    seconds > 0 ? ", down to \(ProgressPrinter.seconds(seconds)) less by steps that the cache skips" : ""
  }

  /// `17 frames of 64 x 64 in 30 steps: 85 MB, about 18 s; …`
  var line: String {
    let verdict = fits ? "fits" : "does not fit"
    let (bound, found, stage) = limit.tightest(plan)
    return "planned: \(ByteCount.text(found)) \(bound.kind)at most (\(stage)), about "
      + "\(ProgressPrinter.seconds(seconds)) ± \(ProgressPrinter.seconds(uncertainty))\(Self.skipping(skippableSeconds)); \(verdict) "
      + "\(ByteCount.text(bound.bytes)) (\(bound.source))"
  }
}

extension GenerationStage {
  /// Whether every video has the stage; prompts are encoded and networks loaded once.
  var isPerVideo: Bool {
    switch self {
    case .encodePrompts, .loadTransformer, .loadDecoder, .fitPreviews: false
    case .condition, .denoise, .decode: true
    }
  }
}
