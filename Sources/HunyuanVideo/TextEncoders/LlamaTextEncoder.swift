public import Checkpoints
public import Layers
public import TensorCore
public import TensorOps

/// One decoder layer: grouped-query attention and a gated MLP, each behind an RMS normalization.
struct LlamaLayer: Sendable {
  private let inputNorm: RMSNorm
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let out: Linear
  private let mlpNorm: RMSNorm
  private let gate: Linear
  private let up: Linear
  private let down: Linear
  private let configuration: LlamaConfiguration

  init(_ scope: WeightScope, _ c: LlamaConfiguration) throws(CheckpointError) {
    let attention = scope["self_attn"]
    let mlp = scope["mlp"]
    let width = c.headCount * c.headDimension
    let keyWidth = c.keyValueHeadCount * c.headDimension
    inputNorm = try RMSNorm(scope["input_layernorm"], channels: c.hiddenSize, epsilon: c.normEpsilon)
    query = try Linear(attention["q_proj"], inputs: c.hiddenSize, outputs: width, bias: false)
    key = try Linear(attention["k_proj"], inputs: c.hiddenSize, outputs: keyWidth, bias: false)
    value = try Linear(attention["v_proj"], inputs: c.hiddenSize, outputs: keyWidth, bias: false)
    out = try Linear(attention["o_proj"], inputs: width, outputs: c.hiddenSize, bias: false)
    mlpNorm = try RMSNorm(scope["post_attention_layernorm"], channels: c.hiddenSize, epsilon: c.normEpsilon)
    gate = try Linear(mlp["gate_proj"], inputs: c.hiddenSize, outputs: c.mlpHiddenSize, bias: false)
    up = try Linear(mlp["up_proj"], inputs: c.hiddenSize, outputs: c.mlpHiddenSize, bias: false)
    down = try Linear(mlp["down_proj"], inputs: c.mlpHiddenSize, outputs: c.hiddenSize, bias: false)
    configuration = c
  }

  func callAsFunction(
    _ x: Tensor, rotary: RotaryTable, mask: AttentionMask, in context: ForwardContext
  ) throws(BackendError) -> Tensor {
    let backend = context.backend
    let c = configuration

    // 1. Grouped-query attention with positions on queries and keys.
    let normalized = try inputNorm(x, in: context)
    func heads(_ layer: Linear, _ count: Int) throws(BackendError) -> Tensor {
      try layer(normalized, in: context).reshaped([x.shape[0], x.shape[1], count, c.headDimension])
    }
    let turnedQuery = try backend.headNorm(heads(query, c.headCount), weight: nil, epsilon: 0, rotary: rotary)
    let turnedKey = try backend.headNorm(heads(key, c.keyValueHeadCount), weight: nil, epsilon: 0, rotary: rotary)
    let attended = try backend.attention(
      queries: [turnedQuery], keyValues: [KeyValue(key: turnedKey, value: heads(value, c.keyValueHeadCount))],
      scale: 1 / Float(c.headDimension).squareRoot(), mask: mask, logSumExp: false)[0].values
    let x1 = try out(attended.joinedHeads, addedTo: ResidualStream(x), in: context)

    // 2. MLP: down(silu(gate) · up).
    let normalized1 = try mlpNorm(x1, in: context)
    let hidden = try backend.gatedSiLU(gate: gate(normalized1, in: context), up(normalized1, in: context))
    return try down(hidden, addedTo: ResidualStream(x1), in: context)
  }
}

/// The first text encoder: hidden states of a LLaMA language model some layers before its end.
///
/// Reference: `hyvideo/text_encoder/__init__.py` (`hidden_state_skip_layer` 2, no final norm) on transformers'
/// `LlamaModel`. Layers that the result does not need are not loaded.
public struct LlamaTextEncoder: Sendable {
  public let configuration: LlamaConfiguration
  private let embedding: Weight
  private let layers: [LlamaLayer]
  private let finalNorm: RMSNorm?

  /// - Parameters:
  ///   - skippedLayers: how many layers before the end the result is taken; 0 takes the normalized last state.
  ///   - appliesFinalNorm: whether the model's last normalization is applied to a state before the end.
  public init(
    _ scope: WeightScope, configuration: LlamaConfiguration, skippedLayers: Int = 2, appliesFinalNorm: Bool = false
  ) throws(CheckpointError) {
    self.configuration = configuration
    let model = scope.has("model.embed_tokens.weight") ? scope["model"] : scope
    let needed = max(configuration.layerCount - skippedLayers, 0)
    embedding = try model.weight(
      "embed_tokens.weight", shape: [configuration.vocabularySize, configuration.hiddenSize])
    var layers: [LlamaLayer] = []
    for index in 0..<needed { layers.append(try LlamaLayer(model["layers"][index], configuration)) }
    self.layers = layers
    finalNorm =
      skippedLayers == 0 || appliesFinalNorm
      ? try RMSNorm(model["norm"], channels: configuration.hiddenSize, epsilon: configuration.normEpsilon) : nil
    model.ignore(prefix: "norm.")
    for index in needed..<configuration.layerCount { model.ignore(prefix: "layers.\(index).") }
    scope.ignore(prefix: "lm_head.")
  }

  /// Hidden states `[B, L, C]`.
  /// - Parameters:
  ///   - ids: int32 `[B, L]`, padded on the right.
  ///   - validCounts: the number of ids of each row that are not padding; nil where none is.
  ///   - observe: told each state: the embeddings, then the output of every layer.
  public func callAsFunction(
    _ ids: Tensor, validCounts: [Int]? = nil, in context: ForwardContext,
    observe: (Int, Tensor) throws(BackendError) -> Void = { (_: Int, _: Tensor) throws(BackendError) in }
  ) throws(BackendError) -> Tensor {
    let rotary = RotaryTable.sequence(ids.shape[1], frequencies: configuration.rotaryFrequencies)
    let mask = AttentionMask(causalBlock: 1, validKeys: validCounts)
    var x = try context.backend.embedding(ids, table: embedding)
    try observe(0, x)
    for (index, layer) in layers.enumerated() {
      x = try layer(x, rotary: rotary, mask: mask, in: context)
      try context.endBlock(BlockName("text encoder", "model.layers", index), ["hidden states": x])
      try observe(index + 1, x)
    }
    return try finalNorm?(x, in: context) ?? x
  }
}
