import Foundation
import Generation
import TensorCore
import TensorOps

/// What a run will need: memory from the networks themselves, time from times of operations on this machine.
struct Forecast {
  /// One stage as planned.
  struct Stage {
    let plan: RunPlan.Stage
    let seconds: Double
    /// Of its time, what rests on operations unlike those that were timed.
    let guessedShare: Double

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
  var seconds: Double {
    stages.reduce(0) { $0 + $1.seconds * ($1.plan.stage.isPerVideo ? Double(videos) : 1) }
  }
  /// The time may be so much more or less: a tenth for what operations take beside each other, half for guesses.
  var uncertainty: Double { seconds * (0.1 + 0.4 * guessedShare) }

  init(
    _ plan: RunPlan, on planning: DevicePlanning, limit: MemoryLimit, timing: any PlanTiming,
    loadSeconds: [GenerationStage: Double], request: GenerationRequest, videos: Int, crowding: HostCrowding
  ) {
    (self.planning, self.timing) = (planning, timing)
    (self.plan, self.limit, self.videos, self.crowding) = (plan, limit, videos, crowding)
    var (guessed, total) = (0.0, 1e-9)
    var done: Set<PlannedOperation> = []
    stages = plan.stages.map { stage in
      let compute = timing.seconds(of: stage.work)
      guessed += compute.guessed
      total += compute.seconds
      // The first rank alone encodes prompts, and decodes where tiles are not dealt out.
      let takesTurns =
        switch stage.stage {
        case .encodePrompts: false
        case .decode: plan.setting.sharesTiles
        default: true
        }
      var seconds = compute.seconds * (takesTurns ? crowding.factor : 1)
      seconds += timing.transferSeconds(of: stage, in: plan.setting.layout)
      let new = Set(stage.work.calls.keys).subtracting(done)
      seconds += timing.startSeconds(of: new)
      done.formUnion(new)
      seconds += Double(stage.work.total.calls) * timing.secondsPerCall
      if planning.isHere && !stage.isComparison { seconds += loadSeconds[stage.stage] ?? 0 }
      switch stage.stage {
      case .denoise: seconds += Rates.save
      case .decode: seconds += Double(3 * request.frames * request.roundedHeight * request.roundedWidth) * Rates.value
      default: break
      }
      return Stage(plan: stage, seconds: seconds, guessedShare: compute.guessed / max(compute.seconds, 1e-9))
    }
    guessedShare = guessed / total
    stepSeconds = Self.seconds(plan.denseStep, timing) * crowding.factor
    skippedStepSeconds = plan.skippedStep.map { Self.seconds($0, timing) * crowding.factor }
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

  /// `17 frames of 64 x 64 in 30 steps: 85 MB, about 18 s; …`
  var line: String {
    let verdict = fits ? "fits" : "does not fit"
    let (bound, found, stage) = limit.tightest(plan)
    return "planned: \(ByteCount.text(found)) \(bound.kind)at most (\(stage)), about "
      + "\(ProgressPrinter.seconds(seconds)) ± \(ProgressPrinter.seconds(uncertainty)); \(verdict) "
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
