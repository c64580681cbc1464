import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// EasyCache: looks at the network's input and output alone. The rate at which the output has followed the input predicts the
/// output's change; while the predicted changes add up to less than the threshold the network is skipped and its last
/// output minus input reused.
///
/// Source: "Less is Enough: Training-Free Video Diffusion Acceleration via Runtime-Adaptive Caching" (arXiv 2507.02860) and its
/// HunyuanVideo script.
public final class EasyCache: StepCache {
  /// Options and their published values.
  public struct Options: Sendable, Hashable {
    public var threshold = 0.025
    /// Steps that are computed first.
    public var retainedSteps = 5

    public init() {}

    init(_ reader: inout StepCacheOptions) throws(RequestError) {
      threshold = try reader.number("thresh", default: threshold)
      retainedSteps = try reader.integer("ret_steps", default: retainedSteps, in: 1...10_000)
    }
  }

  public private(set) var skipped = false
  public private(set) var change: StepChange?
  private let options: Options
  private let steps: Int
  private let distance: SignalDistance
  private var error = 0.0
  private var rate: Double?
  private var previousInput: Tensor?
  private var computed: (input: Tensor, output: Tensor, difference: Tensor)?

  init(_ options: Options, steps: Int, group: any ProcessGroup) {
    self.options = options
    self.steps = steps
    distance = SignalDistance(group: group)
  }

  public func velocity(step: Int, latents: Tensor, on backend: any Backend) throws(BackendError) -> Tensor? {
    (skipped, change) = (false, nil)
    defer { previousInput = latents }
    guard let previousInput, let computed, step >= options.retainedSteps, step < steps - 1 else {
      error = 0
      return nil
    }
    guard let rate else { return nil }
    error += try rate * distance.relative(latents, previousInput, over: computed.output, on: backend)
    change = StepChange(error, limit: options.threshold)
    guard error < options.threshold else {
      error = 0
      return nil
    }
    skipped = true
    return try backend.combination(1, latents, 1, computed.difference)
  }

  public func finish(step: Int, latents: Tensor, velocity: Tensor, on backend: any Backend) throws(BackendError) {
    if let computed {
      let sums = try distance.total([
        backend.absoluteSum(velocity, minus: computed.output), backend.absoluteSum(latents, minus: computed.input),
      ])
      rate = sums[0] / sums[1]
    }
    computed = (latents, velocity, try backend.combination(1, velocity, -1, latents))
  }
}

// MARK: Saving

extension EasyCache {
  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? {
    try StepCacheState(
      numbers: ["error": error, "rate": rate],
      tensors: [
        "previousInput": previousInput, "input": computed?.input, "output": computed?.output,
        "difference": computed?.difference,
      ], on: backend)
  }

  public func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {
    error = state.number("error") ?? 0
    rate = state.number("rate")
    previousInput = try state.tensor("previousInput", on: backend)
    let (input, output) = (try state.tensor("input", on: backend), try state.tensor("output", on: backend))
    let difference = try state.tensor("difference", on: backend)
    if let input, let output, let difference { computed = (input, output, difference) }
  }
}
