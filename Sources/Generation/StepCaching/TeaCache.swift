import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// TeaCache as published: the relative change of the first block's modulated input from step to step, rescaled by a
/// polynomial, is added up; while the sum stays below the threshold the blocks are skipped and their last residual reused.
/// First and last step are computed.
///
/// Source: "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model" (arXiv 2411.19108) and its
/// `TeaCache4HunyuanVideo` script.
public final class TeaCache: StepCache {
  /// Options and their published values.
  public struct Options: Sendable, Hashable {
    /// 0.1 for 1.6 times, 0.15 for 2.1 times the speed on HunyuanVideo.
    public var threshold = 0.15
    /// Highest power first.
    public var coefficients = [7.33226126e+02, -4.01131952e+02, 6.75869174e+01, -3.14987800e+00, 9.61237896e-02]

    public init() {}

    init(_ reader: inout StepCacheOptions, coefficients fitted: [Double]?) throws(RequestError) {
      threshold = try reader.number("rel_l1_thresh", default: threshold)
      coefficients = try reader.numbers("coefficients", default: fitted ?? coefficients) ?? coefficients
    }
  }

  public private(set) var skipped = false
  private let options: Options
  private let steps: Int
  private let distance: SignalDistance
  private var accumulated = 0.0
  private var previousInput: Tensor?
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
    let input = try modulatedInput()
    defer { previousInput = input }
    guard let previousInput, let residual, step > 0, step < steps - 1 else {
      accumulated = 0
      return .compute
    }
    let change = try distance.relative(input, previousInput, over: previousInput, on: backend)
    accumulated += Self.polynomial(options.coefficients, at: change)
    // A fitted polynomial may be negative: a threshold of 0 still never skips.
    guard accumulated < options.threshold, options.threshold > 0 else {
      accumulated = 0
      return .compute
    }
    skipped = true
    return .reuse(residual: residual)
  }

  public func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) { residual = try backend.combination(1, output, -1, input) }

  /// Horner's scheme, highest power first.
  static func polynomial(_ coefficients: [Double], at x: Double) -> Double {
    coefficients.reduce(0) { $0 * x + $1 }
  }
}

// MARK: Saving

extension TeaCache {
  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? {
    try StepCacheState(
      numbers: ["accumulated": accumulated], tensors: ["previousInput": previousInput, "residual": residual],
      on: backend)
  }

  public func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {
    accumulated = state.number("accumulated") ?? 0
    previousInput = try state.tensor("previousInput", on: backend)
    residual = try state.tensor("residual", on: backend)
  }
}
