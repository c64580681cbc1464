import Layers
public import TensorCore

/// Everything a denoising run needs beside the latents, for all steps: it depends on text, timesteps and guidance alone, so
/// it is computed once: the text before the loop, a block's modulation when the block first runs. From then on 27 % of the blocks'
/// weights are not needed.
public struct TransformerConditioning: Sendable {
  public let timesteps: [Float]
  /// The embedded conditioning vector of each step, `[steps, C]`.
  public let vectors: Tensor
  /// Refined text tokens of each step, `[1, S, C]`.
  public let text: [Tensor]
  let doubleBlocks: [(video: DeferredModulation, text: DeferredModulation)]
  let singleBlocks: [DeferredModulation]
  let finalLayer: ModulationTable
}
