public import Checkpoints
import Synchronization
public import TensorCore
public import TensorOps

/// Adaptive normalization's projection: from a conditioning vector to shifts, scales and gates.
///
/// It does not depend on the latents, so it is evaluated for all steps of a run at once, and its weights are not used again.
public struct Modulation: Sendable {
  private let linear: Linear
  private let channels: Int

  /// - Parameter parts: how many vectors of `channels` the projection makes.
  public init(_ scope: WeightScope, channels: Int, parts: Int) throws(CheckpointError) {
    linear = try Linear(scope, inputs: channels, outputs: parts * channels)
    self.channels = channels
  }

  /// - Parameter activated: `SiLU(vec)` of every step, `[steps, C]`.
  public func callAsFunction(_ activated: Tensor, in context: ForwardContext) throws(BackendError) -> ModulationTable {
    let values = try linear(activated, in: context)
    linear.didServe(in: context)
    return ModulationTable(values: values, channels: channels)
  }
}

/// A block's modulation of all steps, evaluated when it is first asked for: in the first step that runs the block, whose other
/// weights are read then as well. Evaluated before the loop it would keep the first block waiting for a quarter of the network.
public final class DeferredModulation: Sendable {
  private let modulation: Modulation
  private let activated: Tensor
  private let known = Mutex<ModulationTable?>(nil)

  /// - Parameter activated: `SiLU(vec)` of every step, `[steps, C]`.
  public init(_ modulation: Modulation, of activated: Tensor) {
    self.modulation = modulation
    self.activated = activated
  }

  public func table(in context: ForwardContext) throws(BackendError) -> ModulationTable {
    if let table = known.withLock({ $0 }) { return table }
    let table = try modulation(activated, in: context)
    known.withLock { $0 = table }
    return table
  }
}

/// The modulation vectors of all steps, `[steps, parts · C]`.
public struct ModulationTable: Sendable {
  let values: Tensor
  let channels: Int

  public init(values: Tensor, channels: Int) {
    self.values = values
    self.channels = channels
  }

  /// One vector `[1, C]` of a step, as a view.
  public func vector(_ part: Int, step: Int) -> Tensor {
    values.slice(0, step..<step + 1).slice(1, part * channels..<(part + 1) * channels)
  }
}

/// What adaptive layer normalization and its residual need at one step, each `[1, C]`.
public struct ModulationVectors: Sendable {
  public let shift: Tensor
  public let scale: Tensor
  public let gate: Tensor

  /// Takes three neighbouring vectors of a table, in the order shift, scale, gate.
  public init(_ table: ModulationTable, step: Int, from part: Int = 0) {
    shift = table.vector(part, step: step)
    scale = table.vector(part + 1, step: step)
    gate = table.vector(part + 2, step: step)
  }

  /// `LN(x) · (1 + scale) + shift`; this layer normalization has no parameters of its own.
  public func normalized(_ x: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    try modulatedLayerNorm(x, scale: scale, shift: shift, in: context)
  }
}

/// `LN(x) · (1 + scale) + shift` with epsilon 1e-6, as everywhere in the transformer.
public func modulatedLayerNorm(
  _ x: Tensor, scale: Tensor, shift: Tensor, in context: ForwardContext
) throws(BackendError) -> Tensor {
  try context.backend.layerNorm(x, weight: nil, bias: nil, scale: scale, shift: shift, epsilon: 1e-6)
}

extension ModulationTable {
  /// One vector of every step, `[steps, C]`, as a view.
  public func part(_ part: Int) -> Tensor { values.slice(1, part * channels..<(part + 1) * channels) }
}
