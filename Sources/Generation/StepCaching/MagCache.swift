import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// MagCache: the magnitude of the blocks' residual changes from step to step by ratios that hardly depend on the prompt.
/// The error of reusing a residual is estimated from the product of the ratios since it was computed.
///
/// Source: "MagCache: Fast Video Generation with Magnitude-Aware Cache" (arXiv 2506.09045), also in diffusers
/// (`MagCacheConfig`).
public final class MagCache: StepCache {
  /// Options and their published values; the ratios come from a calibration.
  public struct Options: Sendable, Hashable {
    public var threshold = 0.12
    /// The most steps that are skipped in a row, `K`.
    public var mostSkipped = 4
    /// The share of steps at the beginning that are computed.
    public var retention = 0.2
    /// Of each step, the mean over tokens of the residual's norm relative to the step before; the first is 1.
    public var ratios: [Double]
    /// The same for the pass on the negative prompt, where it has its own.
    public var negativeRatios: [Double]?

    init(
      _ reader: inout StepCacheOptions, fitted: [GuidanceBranch: StepCacheFit]
    ) throws(RequestError) {
      let given = try reader.numbers("mag_ratios", default: nil)
      negativeRatios = try reader.numbers(
        "negative_mag_ratios", default: given == nil ? fitted[.negative]?.magnitudeRatios : nil)
      guard let ratios = given ?? fitted[.positive]?.magnitudeRatios, !ratios.isEmpty else {
        throw RequestError(
          "no magnitude ratios", at: "--cache magcache", expected: "ratios of this checkpoint", found: "none",
          remedy: "run hyvideo calibrate, or give --cache-option mag_ratios=1,…")
      }
      self.ratios = ratios
      threshold = try reader.number("thresh", default: threshold)
      mostSkipped = try reader.integer("K", default: mostSkipped, in: 0...10_000)
      retention = try reader.number("retention_ratio", default: retention)
    }

    /// A branch's ratios for a number of steps, by nearest index.
    func ratios(steps: Int, branch: GuidanceBranch) -> [Double] {
      let ratios = branch == .negative ? negativeRatios ?? ratios : ratios
      if ratios.count == steps { return ratios }
      if steps == 1 { return [ratios[ratios.count - 1]] }
      let scale = Float(ratios.count - 1) / Float(steps - 1)
      return (0..<steps).map { ratios[Int((Float($0) * scale).rounded(.toNearestOrEven))] }
    }
  }

  public private(set) var skipped = false
  public private(set) var change: StepChange?
  private let options: Options
  private let ratios: [Double]
  private let retained: Int
  private var ratio = 1.0
  private var error = 0.0
  private var inARow = 0
  private var residual: Tensor?

  init(_ options: Options, branch: GuidanceBranch, steps: Int) {
    self.options = options
    ratios = options.ratios(steps: steps, branch: branch)
    retained = Int(min(options.retention * Double(steps) + 0.5, Double(steps)))
  }

  public func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision {
    (skipped, change) = (false, nil)
    guard step >= retained else { return .compute }
    ratio *= ratios[step]
    inARow += 1
    error += abs(1 - ratio)
    change = StepChange(error, limit: options.threshold)
    if let residual, options.threshold > 0, error <= options.threshold, inARow <= options.mostSkipped {
      skipped = true
      return .reuse(residual: residual)
    }
    (ratio, error, inARow) = (1, 0, 0)
    return .compute
  }

  public func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) { residual = try backend.combination(1, output, -1, input) }
}

// MARK: Saving

extension MagCache {
  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? {
    try StepCacheState(
      numbers: ["ratio": ratio, "error": error, "inARow": Double(inARow)], tensors: ["residual": residual], on: backend)
  }

  public func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {
    ratio = state.number("ratio") ?? 1
    error = state.number("error") ?? 0
    inARow = Int(state.number("inARow") ?? 0)
    residual = try state.tensor("residual", on: backend)
  }
}
