import Checkpoints
import Layers
import TensorCore
import TensorOps

// Latents to tokens and back. Reference: `hyvideo/modules/embed_layers.py`, `PatchEmbed`; `models.py`, `FinalLayer`,
// `unpatchify`.

/// A convolution whose kernel is its stride is a linear layer over patches.
struct PatchEmbedding: Sendable {
  private let linear: Linear
  private let patch: [Int]

  init(_ scope: WeightScope, _ configuration: TransformerConfiguration) throws(CheckpointError) {
    patch = configuration.patchSize
    let shape = Shape([configuration.hiddenSize, configuration.inputChannels] + patch)
    let weight = try scope["proj"].weight("weight", shape: shape)
    linear = Linear(
      weight: weight.reshaped([shape[0], shape.count / shape[0]]),
      bias: try scope["proj"].weight("bias", shape: [configuration.hiddenSize]))
  }

  /// Latents `[B, C, F, H, W]` to this rank's tokens `[B, L, hidden]`, time slowest, then rows, then columns.
  func callAsFunction(_ latents: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    let patches = try context.backend.contiguous(latents.patches(patch)).flattenedPatches
    return try linear(patches.slice(1, context.tokens.range(of: patches.shape[1])), in: context)
  }
}

/// Adaptive normalization and projection to patches of velocity.
struct FinalLayer: Sendable {
  let modulation: Modulation
  private let linear: Linear
  private let patch: [Int]
  private let channels: Int

  init(_ scope: WeightScope, _ configuration: TransformerConfiguration) throws(CheckpointError) {
    patch = configuration.patchSize
    channels = configuration.outputChannels
    // Shift first, then scale; diffusers stores the halves the other way round.
    modulation = try Modulation(scope["adaLN_modulation"]["1"], channels: configuration.hiddenSize, parts: 2)
    linear = try Linear(
      scope["linear"], inputs: configuration.hiddenSize, outputs: configuration.patchVolume * channels)
  }

  /// This rank's tokens `[B, L, hidden]` to the whole velocity `[B, C, F, H, W]` for a grid of tokens.
  func callAsFunction(
    _ video: Tensor, table: ModulationTable, step: Int, grid: [Int], in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    let normalized = try modulatedLayerNorm(
      video, scale: table.vector(1, step: step), shift: table.vector(0, step: step), in: context)
    let patches = try context.tokens.gathered(
      linear(normalized, in: context), count: grid.reduce(1, *), on: context.backend)
    // [B, F', H', W', C, pt, ph, pw] to [B, C, F', pt, H', ph, W', pw]
    let split = patches.reshaped(Shape([video.shape[0]] + grid + [channels] + patch))
    let interleaved = try context.backend.contiguous(split.permuted([0, 4, 1, 5, 2, 6, 3, 7]))
    return interleaved.reshaped(
      Shape([video.shape[0], channels] + zip(grid, patch).map { $0 * $1 }))
  }
}

extension Tensor {
  /// Latents `[B, C, F, H, W]` as a view `[B, F', H', W', C, pt, ph, pw]`.
  fileprivate func patches(_ patch: [Int]) -> Tensor {
    let grid = zip([shape[2], shape[3], shape[4]], patch).map { $0 / $1 }
    let split = Shape([shape[0], shape[1], grid[0], patch[0], grid[1], patch[1], grid[2], patch[2]])
    return reshaped(split).permuted([0, 2, 4, 6, 1, 3, 5, 7])
  }

  /// Patches `[B, F', H', W', C, pt, ph, pw]` as rows `[B, L, C · pt · ph · pw]`.
  fileprivate var flattenedPatches: Tensor {
    let tokens = shape[1] * shape[2] * shape[3]
    return reshaped([shape[0], tokens, shape[4] * shape[5] * shape[6] * shape[7]])
  }
}
