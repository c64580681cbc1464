import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// FBCache: the first block always runs; where what it adds has hardly changed since the last computed step, the other
/// blocks are skipped and their last residual reused.
///
/// Source: ParaAttention's first-block cache, also in diffusers (`FirstBlockCacheConfig`); the Ascend recipe compares the
/// block's whole output (`signal=output`).
public final class FirstBlockCache: StepCache {
  /// What is compared.
  public enum Signal: String, Sendable, CaseIterable {
    /// Output minus input, relative to that of the last computed step.
    case residual
    /// The output, relative to this step's, as in the Ascend recipe.
    case output
  }

  /// Options and their published values.
  public struct Options: Sendable, Hashable {
    public var threshold = 0.05
    public var signal = Signal.residual
    /// Steps that are computed first; the first one always is.
    public var warmup = 0

    public init() {}

    init(_ reader: inout StepCacheOptions) throws(RequestError) {
      threshold = try reader.number("rel_l1_thresh", default: threshold)
      signal = try reader.choice("signal", default: signal)
      warmup = try reader.integer("warmup", default: warmup, in: 0...10_000)
    }
  }

  public private(set) var skipped = false
  public private(set) var change: StepChange?
  private let options: Options
  private let distance: SignalDistance
  private var computedSignal: Tensor?
  private var residual: Tensor?

  init(_ options: Options, group: any ProcessGroup) {
    self.options = options
    distance = SignalDistance(group: group)
  }

  public func decide(
    step: Int, firstBlockOutput output: Tensor, input: Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision {
    (skipped, change) = (false, nil)
    let signal = options.signal == .output ? output : try backend.combination(1, output, -1, input)
    if let computedSignal, let residual, step >= options.warmup {
      let change =
        switch options.signal {
        case .residual: try distance.relative(signal, computedSignal, over: computedSignal, on: backend)
        case .output: try distance.relative(signal, computedSignal, over: signal, epsilon: 1e-8, on: backend)
        }
      self.change = StepChange(change, limit: options.threshold)
      if change < options.threshold {
        skipped = true
        return .reuse(residual: residual)
      }
    }
    computedSignal = signal
    return .compute
  }

  public func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) { residual = try backend.combination(1, output, -1, firstBlockOutput) }
}

// MARK: Saving

extension FirstBlockCache {
  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? {
    try StepCacheState(
      tensors: ["computedSignal": computedSignal, "residual": residual], on: backend)
  }

  public func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {
    computedSignal = try state.tensor("computedSignal", on: backend)
    residual = try state.tensor("residual", on: backend)
  }
}
