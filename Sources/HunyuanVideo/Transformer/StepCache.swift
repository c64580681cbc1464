public import TensorCore
public import TensorOps

/// What a step cache wants done with the blocks of a step.
public enum StepDecision: Sendable {
  /// Run them.
  case compute
  /// Do not run them: their effect on the video tokens is this residual.
  case reuse(residual: Tensor)
}

/// A part of a block whose output goes through a gate into the residual streams.
public struct BlockModule: Sendable, Hashable {
  public enum Part: String, Sendable, Hashable {
    /// Attention with its output projection, of a double-stream block.
    case attention
    /// The MLP of a double-stream block.
    case mlp
    /// Attention and MLP of a single-stream block with their common output projection.
    case whole
  }

  /// The block's index among all: double-stream blocks first.
  public let block: Int
  public let part: Part

  public init(block: Int, part: Part) {
    self.block = block
    self.part = part
  }
}

/// What a rule compared at a step: the change that it estimates, and the limit below which it skips.
public struct StepChange: Sendable, Hashable {
  public let value: Double
  public let limit: Double

  public init(_ value: Double, limit: Double) {
    self.value = value
    self.limit = limit
  }
}

/// Decides at each step whether the blocks run or their effect is reused or extrapolated. A cache belongs to one sequence of
/// steps of one sample: conditional and unconditional passes have their own, and each video has new ones.
///
/// A step asks in the order of the requirements below. Every one but `skipped` has a default that changes nothing.
public protocol StepCache: AnyObject {
  /// Whether the last step that was asked for did without its blocks (or all but the first).
  var skipped: Bool { get }

  /// What the last step's decision compared; nil where the rule did not look: first and last steps, a schedule.
  var change: StepChange? { get }

  /// Asked before the network, embedders included.
  /// - Parameter latents: the network's input `[1, C, F, H, W]`.
  /// - Returns: the velocity to take instead of running it, of the same shape, or nil.
  func velocity(step: Int, latents: Tensor, on backend: any Backend) throws(BackendError) -> Tensor?

  /// Asked before the first block.
  /// - Parameters:
  ///   - step: the index of the step, from 0.
  ///   - modulatedInput: makes the first block's modulated video input `[B, L, C]`, for caches that look at it.
  func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision

  /// Asked for every module of every block: `evaluate` runs it. The output is the module's before its gate.
  /// - Returns: nil, without having run it, where the output by itself is of no use to the cache: the module may then add it to the
  ///   streams as it is made.
  func output(
    of module: BlockModule, step: Int, on backend: any Backend, evaluate: () throws(BackendError) -> TokenStreams
  ) throws(BackendError) -> TokenStreams?

  /// Asked after the first block, whose video output is `output`. A residual then stands for the remaining blocks.
  func decide(
    step: Int, firstBlockOutput output: Tensor, input: Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision

  /// Told after the last block, with the video tokens before the first block, after it and after the last. Not told where a
  /// residual was reused.
  func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError)

  /// Told what the network made of the latents. Not told where `velocity` gave one.
  func finish(step: Int, latents: Tensor, velocity: Tensor, on backend: any Backend) throws(BackendError)

  /// What the cache carries to the next step, to be saved with the latents; nil where it cannot be saved. Asked between steps.
  func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState?

  /// Takes up what `savedState` gave, before the first step of a run that goes on.
  func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError)
}

extension StepCache {
  public var change: StepChange? { nil }

  public func velocity(step: Int, latents: Tensor, on backend: any Backend) throws(BackendError) -> Tensor? { nil }

  public func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision { .compute }

  public func output(
    of module: BlockModule, step: Int, on backend: any Backend, evaluate: () throws(BackendError) -> TokenStreams
  ) throws(BackendError) -> TokenStreams? { nil }

  public func decide(
    step: Int, firstBlockOutput output: Tensor, input: Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision { .compute }

  public func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) {}

  public func finish(step: Int, latents: Tensor, velocity: Tensor, on backend: any Backend) throws(BackendError) {}
}

/// Every step is computed.
public final class NoStepCache: StepCache {
  public let skipped = false

  public init() {}
}

/// How a block has its modules evaluated at a step.
struct BlockModules {
  let cache: any StepCache
  let block: Int
  let step: Int
  let backend: any Backend

  /// The streams with a module's gated output added.
  /// - Parameter evaluate: runs the module. Where it is given streams its last products add themselves to them; where it is not, since the
  ///   cache keeps the output or the device gains nothing, it gives the output by itself.
  func callAsFunction(
    _ part: BlockModule.Part, addedTo x: TokenStreams, gates: (video: Tensor, text: Tensor),
    evaluate: (GatedStreams?) throws(BackendError) -> TokenStreams
  ) throws(BackendError) -> TokenStreams {
    let streams = x.gated(by: gates)
    let output = try cache.output(of: BlockModule(block: block, part: part), step: step, on: backend) {
      () throws(BackendError) in try evaluate(nil)
    }
    if let output { return try streams.adding(output, on: backend) }
    return try backend.addsWhileMultiplying ? evaluate(streams) : streams.adding(evaluate(nil), on: backend)
  }
}
