public import TensorCore
public import TensorOps

/// What a step cache wants done with the blocks of a step.
public enum StepDecision: Sendable {
  /// Run them.
  case compute
  /// Do not run them: their effect on the video tokens is this residual.
  case reuse(residual: Tensor)
}

/// Decides at each step whether the blocks run or their effect is reused or extrapolated. Embedders and the final layer
/// always run. A cache belongs to one sequence of steps of one sample: conditional and unconditional passes have their own.
public protocol StepCache: AnyObject {
  /// Asked before the first block.
  /// - Parameters:
  ///   - step: the index of the step, from 0.
  ///   - modulatedInput: makes the first block's modulated video input `[B, L, C]`, for caches that look at it.
  func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision

  /// Asked after the first block, whose video output is `output`, where `decide` said compute. A residual then stands for
  /// the remaining blocks.
  func decide(
    step: Int, firstBlockOutput output: Tensor, input: Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision

  /// Told after the last block that ran, with the video tokens before the first block, after it and after the last.
  func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError)
}

/// Every step is computed.
public final class NoStepCache: StepCache {
  public init() {}

  public func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision { .compute }

  public func decide(
    step: Int, firstBlockOutput output: Tensor, input: Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision { .compute }

  public func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) {}
}
