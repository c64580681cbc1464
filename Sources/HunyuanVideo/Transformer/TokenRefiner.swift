import Checkpoints
import Layers
import TensorCore
import TensorOps

// Refines the text encoder's hidden states before they join the video tokens.
// Reference: `hyvideo/modules/token_refiner.py`, `SingleTokenRefiner`.
//
// Padded text tokens are dropped before: valid tokens never see them. Nothing here depends on the latents, so all
// steps are refined before the loop.

/// One block: self-attention and an MLP, each added through a gate that the conditioning vector sets.
struct TokenRefinerBlock: Sendable {
  private let norm1: LayerNorm
  private let norm2: LayerNorm
  private let qkv: Linear
  private let projection: Linear
  private let mlp: MultiLayerPerceptron
  private let modulation: Modulation
  private let headCount: Int

  init(_ scope: WeightScope, _ configuration: TransformerConfiguration) throws(CheckpointError) {
    let channels = configuration.hiddenSize
    norm1 = try LayerNorm(scope["norm1"], channels: channels, epsilon: 1e-6)
    norm2 = try LayerNorm(scope["norm2"], channels: channels, epsilon: 1e-6)
    qkv = try Linear(scope["self_attn_qkv"], inputs: channels, outputs: 3 * channels)
    projection = try Linear(scope["self_attn_proj"], inputs: channels, outputs: channels)
    mlp = try MultiLayerPerceptron(
      scope["mlp"], inputs: channels, hidden: configuration.mlpHiddenSize, outputs: channels, activation: .silu)
    modulation = try Modulation(scope["adaLN_modulation"]["1"], channels: channels, parts: 2)
    headCount = configuration.headCount
  }

  /// `y` `[steps, S, C]`, conditioning `SiLU(c)` `[steps, C]`.
  func callAsFunction(_ y: Tensor, activated: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    let backend = context.backend
    let gates = try modulation(activated, in: context)

    // 1. Bidirectional attention, without positions and without query/key normalization.
    let heads = try qkv(norm1(y, in: context), in: context).splitHeads(count: headCount, of: 3)
    let keyValue = KeyValue(key: heads[1], value: heads[2])
    let attended = try backend.attention(
      queries: [heads[0]], keyValues: [keyValue], scale: 1 / Float(heads[0].shape.last).squareRoot(), mask: .none,
      logSumExp: false)[0].values
    let y1 = try projection(attended.joinedHeads, addedTo: ResidualStream(y, gate: gates.part(0)), in: context)

    // 2. MLP.
    return try mlp(norm2(y1, in: context), addedTo: ResidualStream(y1, gate: gates.part(1)), in: context)
  }
}

/// The text encoder's hidden states as tokens of the transformer.
struct TokenRefiner: Sendable {
  private let inputEmbedding: Linear
  private let timeEmbedding: ScalarEmbedding
  private let contextEmbedding: MultiLayerPerceptron
  private let blocks: [TokenRefinerBlock]

  init(_ scope: WeightScope, _ configuration: TransformerConfiguration) throws(CheckpointError) {
    let channels = configuration.hiddenSize
    inputEmbedding = try Linear(scope["input_embedder"], inputs: configuration.textChannels, outputs: channels)
    timeEmbedding = try ScalarEmbedding(scope["t_embedder"], channels: channels)
    contextEmbedding = try MultiLayerPerceptron(
      scope["c_embedder"], names: ("linear_1", "linear_2"), inputs: configuration.textChannels, hidden: channels,
      outputs: channels, activation: .silu)
    var blocks: [TokenRefinerBlock] = []
    for index in 0..<configuration.refinerBlockCount {
      blocks.append(try TokenRefinerBlock(scope["individual_token_refiner"]["blocks"][index], configuration))
    }
    self.blocks = blocks
  }

  /// Text tokens `[1, S, C]` for each timestep, from valid hidden states `[1, S, textChannels]`.
  func callAsFunction(
    _ text: Tensor, timesteps: [Float], in context: ForwardContext
  ) throws(BackendError) -> [Tensor] {
    let backend = context.backend
    let tokens = text.shape[1]
    let pooled = try contextEmbedding(backend.meanOverTokens(text), in: context)
    let embedded = try inputEmbedding(text, in: context)

    // Steps are a batch here, in groups that keep intermediate results small and matrix products large.
    let group = max(1, 2048 / tokens)
    var refined: [Tensor] = []
    for start in stride(from: 0, to: timesteps.count, by: group) {
      let steps = Array(timesteps[start..<min(start + group, timesteps.count)])
      let time = try timeEmbedding(steps, in: context)
      let conditioning = try backend.residual(time, gate: nil, backend.repeated(pooled, steps.count))
      let activated = try backend.activate(conditioning, .silu)
      var y = try backend.repeated(embedded, steps.count)
      for (index, block) in blocks.enumerated() {
        y = try block(y, activated: activated, in: context)
        try context.endBlock(
          BlockName("transformer", "txt_in.individual_token_refiner.blocks", index), ["text tokens": y])
      }
      for step in steps.indices { refined.append(y.slice(0, step..<step + 1)) }
    }
    return refined
  }
}

extension Backend {
  /// A tensor `[1, …]` as a batch of `count`.
  fileprivate func repeated(_ x: Tensor, _ count: Int) throws(BackendError) -> Tensor {
    count == 1 ? x : try concatenate([Tensor](repeating: x, count: count), axis: 0)
  }
}
