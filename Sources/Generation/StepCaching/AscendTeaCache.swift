import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// TeaCache as the Ascend recipe has it: the change is measured from the input of the last *computed* step, its
/// polynomial enters by magnitude, and `warmup` steps at both ends are computed, after which the first one sets the mark.
///
/// The recipe's skip flag stays set through the last forced steps, which then run without their blocks; here they are
/// computed. Its distances are averaged within one Ulysses group; here over all ranks.
///
/// Source: `cann-recipes-infer`, `module/dit_cache`.
public final class AscendTeaCache: StepCache {
  /// Options under the recipe's names, with its values.
  public struct Options: Sendable, Hashable {
    public var threshold = 0.15
    /// Highest power first.
    public var coefficients = [733.226126, -401.131952, 67.5869174, -3.149879, 0.0961237896]
    public var warmup = 2

    public init() {}

    init(_ reader: inout StepCacheOptions, coefficients fitted: [Double]?) throws(RequestError) {
      threshold = try reader.number("rel_l1_thresh", default: threshold)
      coefficients = try reader.numbers("coefficients", default: fitted ?? coefficients) ?? coefficients
      warmup = try reader.integer("warmup", default: warmup, in: 0...10_000)
    }
  }

  public private(set) var skipped = false
  private let options: Options
  private let steps: Int
  private let distance: SignalDistance
  private var accumulated = 0.0
  private var computedInput: Tensor?
  private var residual: Tensor?

  init(_ options: Options, steps: Int, group: any ProcessGroup) {
    self.options = options
    self.steps = steps
    distance = SignalDistance(group: group)
  }

  public func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision {
    skipped = false
    if step < options.warmup || step >= steps - options.warmup {
      accumulated = 0
      return .compute
    }
    let input = try modulatedInput()
    if let computedInput, let residual {
      let change = try distance.relative(input, computedInput, over: computedInput, epsilon: 1e-8, on: backend)
      accumulated += abs(TeaCache.polynomial(options.coefficients, at: change))
      if accumulated < options.threshold {
        skipped = true
        return .reuse(residual: residual)
      }
      accumulated = 0
    }
    computedInput = input
    return .compute
  }

  public func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) { residual = try backend.combination(1, output, -1, input) }
}

// MARK: Saving

extension AscendTeaCache {
  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? {
    try StepCacheState(
      numbers: ["accumulated": accumulated], tensors: ["computedInput": computedInput, "residual": residual],
      on: backend)
  }

  public func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {
    accumulated = state.number("accumulated") ?? 0
    computedInput = try state.tensor("computedInput", on: backend)
    residual = try state.tensor("residual", on: backend)
  }
}
