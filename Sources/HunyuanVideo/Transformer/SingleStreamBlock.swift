import Checkpoints
import Layers
import TensorCore
import TensorOps

// Single-stream block: attention and MLP side by side, with the same weights for video and text.
// Reference: `hyvideo/modules/models.py`, `MMSingleStreamBlock`.

struct SingleStreamBlock: Sendable {
  let modulation: Modulation
  private let qkv: Linear
  private let mlpIn: Linear
  private let out: Linear
  private let queryNorm: Weight
  private let keyNorm: Weight
  private let headCount: Int

  init(_ scope: WeightScope, _ configuration: TransformerConfiguration) throws(CheckpointError) {
    let channels = configuration.hiddenSize
    let hidden = configuration.mlpHiddenSize
    modulation = try Modulation(scope["modulation"]["linear"], channels: channels, parts: 3)
    let linear1 = try Linear(scope["linear1"], inputs: channels, outputs: 3 * channels + hidden)
    qkv = linear1.outputs(0..<3 * channels)
    mlpIn = linear1.outputs(3 * channels..<3 * channels + hidden)
    out = try Linear(scope["linear2"], inputs: channels + hidden, outputs: channels)
    queryNorm = try scope["q_norm"].weight("weight", shape: [configuration.headDimension])
    keyNorm = try scope["k_norm"].weight("weight", shape: [configuration.headDimension])
    headCount = configuration.headCount
  }

  func callAsFunction(
    _ x: TokenStreams, _ vectors: ModulationVectors, rotary: RotaryTable, modules: BlockModules,
    in context: ForwardContext
  ) throws(BackendError) -> TokenStreams {
    try modules(.whole, addedTo: x, gates: (vectors.gate, vectors.gate)) { (streams) throws(BackendError) in
      // 1. Modulated input; only video tokens carry a position.
      let video = try vectors.normalized(x.video, in: context)
      let text = try vectors.normalized(x.text, in: context)

      // 2. Joint attention, video before text.
      let attended = try context.attention(
        video: attentionInputs(video, rotary: rotary, in: context),
        text: attentionInputs(text, rotary: nil, in: context))

      // 3. Attention and MLP share the output projection and one gated residual.
      return TokenStreams(
        video: try projection(video, attended: attended.video, addedTo: streams?.video, in: context),
        text: try projection(text, attended: attended.text, addedTo: streams?.text, in: context))
    }
  }

  private func attentionInputs(
    _ normalized: Tensor, rotary: RotaryTable?, in context: ForwardContext
  ) throws(BackendError) -> AttentionInputs {
    try AttentionInputs(
      fused: qkv(normalized, in: context).splitHeads(count: headCount, of: 3), queryNorm: queryNorm, keyNorm: keyNorm,
      rotary: rotary, in: context)
  }

  private func projection(
    _ normalized: Tensor, attended: Tensor, addedTo stream: ResidualStream?, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    try out(
      [attended.joinedHeads, mlpIn(normalized, activation: .geluTanh, in: context)], addedTo: stream, in: context)
  }
}
