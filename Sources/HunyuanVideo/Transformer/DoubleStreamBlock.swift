import Checkpoints
import Layers
import TensorCore
import TensorOps

// MM-DiT double-stream block: video and text keep separate weights and meet only in attention.
// Reference: `hyvideo/modules/models.py`, `MMDoubleStreamBlock`.

/// The weights of one stream; keys begin with `img_` or `txt_`.
struct StreamLayers: Sendable {
  let modulation: Modulation
  let qkv: Linear
  let queryNorm: Weight
  let keyNorm: Weight
  let projection: Linear
  let mlp: MultiLayerPerceptron
  let headCount: Int

  init(_ scope: WeightScope, prefix: String, _ configuration: TransformerConfiguration) throws(CheckpointError) {
    let channels = configuration.hiddenSize
    modulation = try Modulation(scope["\(prefix)_mod"]["linear"], channels: channels, parts: 6)
    qkv = try Linear(scope["\(prefix)_attn_qkv"], inputs: channels, outputs: 3 * channels)
    queryNorm = try scope["\(prefix)_attn_q_norm"].weight("weight", shape: [configuration.headDimension])
    keyNorm = try scope["\(prefix)_attn_k_norm"].weight("weight", shape: [configuration.headDimension])
    projection = try Linear(scope["\(prefix)_attn_proj"], inputs: channels, outputs: channels)
    mlp = try MultiLayerPerceptron(
      scope["\(prefix)_mlp"], inputs: channels, hidden: configuration.mlpHiddenSize, outputs: channels,
      activation: .geluTanh)
    headCount = configuration.headCount
  }

  /// Queries, keys and values; queries and keys normalized per head and, for video, turned by position.
  func attentionInputs(
    _ x: Tensor, rotary: RotaryTable?, in context: ForwardContext
  ) throws(BackendError) -> AttentionInputs {
    try AttentionInputs(
      fused: qkv(x, in: context).splitHeads(count: headCount, of: 3), queryNorm: queryNorm, keyNorm: keyNorm,
      rotary: rotary, in: context)
  }
}

/// One stream's modulation at one step: shift, scale, gate for attention, then for the MLP.
struct StreamModulation: Sendable {
  let attention: ModulationVectors
  let mlp: ModulationVectors

  init(_ table: ModulationTable, step: Int) {
    attention = ModulationVectors(table, step: step)
    mlp = ModulationVectors(table, step: step, from: 3)
  }
}

struct DoubleStreamBlock: Sendable {
  let video: StreamLayers
  let text: StreamLayers

  init(_ scope: WeightScope, _ configuration: TransformerConfiguration) throws(CheckpointError) {
    video = try StreamLayers(scope, prefix: "img", configuration)
    text = try StreamLayers(scope, prefix: "txt", configuration)
  }

  func callAsFunction(
    _ x: TokenStreams, video v: StreamModulation, text t: StreamModulation, rotary: RotaryTable, modules: BlockModules,
    in context: ForwardContext
  ) throws(BackendError) -> TokenStreams {
    // 1. Joint attention, video before text; only video tokens carry a position.
    let x1 = try modules(.attention, addedTo: x, gates: (v.attention.gate, t.attention.gate)) {
      (streams) throws(BackendError) in
      let videoInputs = try video.attentionInputs(
        v.attention.normalized(x.video, in: context), rotary: rotary, in: context)
      let textInputs = try text.attentionInputs(t.attention.normalized(x.text, in: context), rotary: nil, in: context)
      let attended = try context.attention(video: videoInputs, text: textInputs)
      return TokenStreams(
        video: try video.projection(attended.video.joinedHeads, addedTo: streams?.video, in: context),
        text: try text.projection(attended.text.joinedHeads, addedTo: streams?.text, in: context))
    }

    // 2. Each stream's MLP.
    return try modules(.mlp, addedTo: x1, gates: (v.mlp.gate, t.mlp.gate)) { (streams) throws(BackendError) in
      TokenStreams(
        video: try video.mlp(v.mlp.normalized(x1.video, in: context), addedTo: streams?.video, in: context),
        text: try text.mlp(t.mlp.normalized(x1.text, in: context), addedTo: streams?.text, in: context))
    }
  }
}

extension AttentionInputs {
  /// Splits a fused projection's heads, normalizing and turning queries and keys.
  init(
    fused heads: [Tensor], queryNorm: Weight, keyNorm: Weight, rotary: RotaryTable?, in context: ForwardContext
  ) throws(BackendError) {
    self.init(
      query: try context.backend.headNorm(heads[0], weight: queryNorm, epsilon: 1e-6, rotary: rotary),
      key: try context.backend.headNorm(heads[1], weight: keyNorm, epsilon: 1e-6, rotary: rotary),
      value: heads[2])
  }
}
