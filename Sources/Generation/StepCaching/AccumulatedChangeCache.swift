import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// What TeaCache and the Ascend recipe's variant of it share: a polynomial of the relative change of the first block's modulated
/// input is added up over the steps; while the sum stays below a threshold the blocks are skipped and their last residual
/// reused. Which steps are computed in any case, and which earlier step the change is measured from, is the variants'.
public class AccumulatedChangeCache: StepCache {
  /// When a step is skipped.
  public struct Parameters: Sendable, Hashable {
    /// 0.1 for 1.6 times, 0.15 for 2.1 times the speed on HunyuanVideo.
    public var threshold = 0.15
    /// Of the polynomial, highest power first.
    public var coefficients: [Double]
    /// The same for the pass on the negative prompt, where it has its own.
    public var negativeCoefficients: [Double]?

    init(
      _ reader: inout StepCacheOptions, published: [Double], fitted: [GuidanceBranch: StepCacheFit]
    ) throws(RequestError) {
      let given = try reader.numbers("coefficients", default: nil)
      coefficients = given ?? fitted[.positive]?.teaCacheCoefficients ?? published
      negativeCoefficients = try reader.numbers(
        "negative_coefficients", default: given == nil ? fitted[.negative]?.teaCacheCoefficients : nil)
      threshold = try reader.number("rel_l1_thresh", default: threshold)
    }

    /// What holds for a branch, as its `coefficients`.
    func of(_ branch: GuidanceBranch) -> Parameters {
      guard branch == .negative, let negativeCoefficients else { return self }
      var result = self
      result.coefficients = negativeCoefficients
      return result
    }

    /// Horner's scheme.
    func polynomial(at x: Double) -> Double { coefficients.reduce(0) { $0 * x + $1 } }
  }

  public internal(set) final var skipped = false
  public private(set) final var change: StepChange?
  final let parameters: Parameters
  final let steps: Int
  final let distance: SignalDistance
  private var accumulated = 0.0
  /// The modulated input that the next one is compared with.
  final var reference: Tensor?
  final var residual: Tensor?

  init(_ parameters: Parameters, steps: Int, group: any ProcessGroup) {
    self.parameters = parameters
    self.steps = steps
    distance = SignalDistance(group: group)
  }

  public func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision { compute() }

  /// A step that is computed starts the sum anew.
  final func compute() -> StepDecision {
    (skipped, accumulated, change) = (false, 0, nil)
    return .compute
  }

  /// Adds a step's rescaled change and decides.
  final func decision(adding change: Double, reusing residual: Tensor) -> StepDecision {
    accumulated += change
    let compared = StepChange(accumulated, limit: parameters.threshold)
    defer { self.change = compared }
    // A fitted polynomial may be negative: a threshold of 0 still never skips.
    guard accumulated < parameters.threshold, parameters.threshold > 0 else { return compute() }
    skipped = true
    return .reuse(residual: residual)
  }

  public final func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) { residual = try backend.combination(1, output, -1, input) }

  // MARK: Saving

  public final func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? {
    try StepCacheState(
      numbers: ["accumulated": accumulated], tensors: ["reference": reference, "residual": residual], on: backend)
  }

  public final func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {
    accumulated = state.number("accumulated") ?? 0
    reference = try state.tensor("reference", on: backend)
    residual = try state.tensor("residual", on: backend)
  }
}
