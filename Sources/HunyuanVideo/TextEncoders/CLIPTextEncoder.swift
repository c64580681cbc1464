public import Checkpoints
public import Layers
public import TensorCore
public import TensorOps

/// The sizes of a CLIP text model, from its `config.json` (a full CLIP configuration has them under `text_config`).
public struct CLIPTextConfiguration: Sendable, Hashable {
  public var hiddenSize: Int
  public var layerCount: Int
  public var headCount: Int
  public var mlpHiddenSize: Int
  public var vocabularySize: Int
  public var positionCount: Int
  public var normEpsilon: Float
  public var endToken: Int

  /// The text model of `openai/clip-vit-large-patch14`. Its end token is the largest id of a prompt.
  public static let clipL = CLIPTextConfiguration()

  private init() {
    (hiddenSize, layerCount, headCount, mlpHiddenSize) = (768, 12, 12, 3072)
    (vocabularySize, positionCount, normEpsilon, endToken) = (49_408, 77, 1e-5, 2)
  }

  /// - Parameter defaults: The sizes that the tensors tell.
  /// - Throws: `CheckpointError` for missing fields, wrong types, another activation than quick-GELU and fields that nobody
  ///   knows.
  public init(
    _ root: ConfigurationReader, defaults: CLIPTextConfiguration? = nil
  ) throws(CheckpointError) {
    let text = try root.object("text_config")
    let reader = text ?? root
    hiddenSize = try reader.positiveInt("hidden_size", default: defaults?.hiddenSize)
    layerCount = try reader.positiveInt("num_hidden_layers", default: defaults?.layerCount)
    headCount = try reader.positiveInt("num_attention_heads", default: defaults?.headCount)
    mlpHiddenSize = try reader.positiveInt("intermediate_size", default: defaults?.mlpHiddenSize)
    vocabularySize = try reader.positiveInt("vocab_size", default: 49_408)
    positionCount = try reader.positiveInt("max_position_embeddings", default: 77)
    normEpsilon = Float(try reader.positiveDouble("layer_norm_eps", default: 1e-5))
    endToken = try reader.positiveInt("eos_token_id", default: 2)
    try reader.require(
      "num_attention_heads", hiddenSize % headCount == 0, "a divisor of hidden_size \(hiddenSize)", "\(headCount)")
    try reader.require("hidden_act", equals: "quick_gelu")
    try reader.require(
      "model_type", isOneOf: ["clip", "clip_text_model"], effect: "this is another text model")
    for (key, effect) in [
      ("quantization_config", "weights are quantized in a way that the file's tensors do not tell"),
      ("pruned_heads", "some heads are cut out of the weights"),
    ] { try reader.require(key, isOneOf: [[:]], effect: effect) }
    reader.ignore(
      InertSettings.ofTransformers + [
        InertSettings(["projection_dim"], because: "the projection is not read"),
        InertSettings(["bos_token_id", "pad_token_id"], because: "the tokenizer has the tokens"),
      ])
    try reader.finish()
    if text != nil { try Self.checkAround(reader, root) }
  }

  /// Checks what surrounds the text model of a full configuration. Older files have some of its fields twice, of which the
  /// library takes the second (`text_config_dict`).
  private static func checkAround(_ text: ConfigurationReader, _ root: ConfigurationReader) throws(CheckpointError) {
    let used = [
      "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
      "max_position_embeddings", "layer_norm_eps", "eos_token_id", "hidden_act",
    ]
    for key in try root.object("text_config_dict")?.keys ?? [] where used.contains(key) {
      let again = try root.object("text_config_dict")
      try root.require(
        "text_config_dict", again?.agrees(with: text, on: key) ?? true,
        "\(key) \(text.text(of: key) ?? "null") as text_config has it", again?.text(of: key) ?? "null")
    }
    root.ignore(InertSettings.ofPictures + InertSettings.ofTransformers)
    try root.finish()
  }
}

/// One pre-norm transformer layer.
struct CLIPLayer: Sendable {
  private let norm1: LayerNorm
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let out: Linear
  private let norm2: LayerNorm
  private let mlp: MultiLayerPerceptron
  private let headCount: Int

  init(_ scope: WeightScope, _ c: CLIPTextConfiguration) throws(CheckpointError) {
    let attention = scope["self_attn"]
    norm1 = try LayerNorm(scope["layer_norm1"], channels: c.hiddenSize, epsilon: c.normEpsilon)
    query = try Linear(attention["q_proj"], inputs: c.hiddenSize, outputs: c.hiddenSize)
    key = try Linear(attention["k_proj"], inputs: c.hiddenSize, outputs: c.hiddenSize)
    value = try Linear(attention["v_proj"], inputs: c.hiddenSize, outputs: c.hiddenSize)
    out = try Linear(attention["out_proj"], inputs: c.hiddenSize, outputs: c.hiddenSize)
    norm2 = try LayerNorm(scope["layer_norm2"], channels: c.hiddenSize, epsilon: c.normEpsilon)
    mlp = try MultiLayerPerceptron(
      scope["mlp"], inputs: c.hiddenSize, hidden: c.mlpHiddenSize, outputs: c.hiddenSize, activation: .quickGELU)
    headCount = c.headCount
  }

  func callAsFunction(_ x: Tensor, in context: ForwardContext) throws(BackendError) -> Tensor {
    let backend = context.backend
    let normalized = try norm1(x, in: context)
    func heads(_ layer: Linear) throws(BackendError) -> Tensor {
      try layer(normalized, in: context).splitHeads(count: headCount, of: 1)[0]
    }
    let query = try heads(query)
    let attended = try backend.attention(
      queries: [query], keyValues: [KeyValue(key: heads(key), value: heads(value))],
      scale: 1 / Float(query.shape.last).squareRoot(), mask: .causal, logSumExp: false)[0].values
    let x1 = try out(attended.joinedHeads, addedTo: ResidualStream(x), in: context)
    return try mlp(norm2(x1, in: context), addedTo: ResidualStream(x1), in: context)
  }
}

/// The second text encoder: one vector for a prompt, CLIP's normalized state at the end token. No text projection.
///
/// Reference: transformers' `CLIPTextModel`. Padding comes after the end token, which therefore never sees it.
public struct CLIPTextEncoder: Sendable {
  public let configuration: CLIPTextConfiguration
  private let tokenEmbedding: Weight
  private let positionEmbedding: Weight
  private let layers: [CLIPLayer]
  private let finalNorm: LayerNorm

  /// Reads `text_model.*`; the other half of a full CLIP checkpoint is left alone.
  public init(_ scope: WeightScope, configuration: CLIPTextConfiguration) throws(CheckpointError) {
    self.configuration = configuration
    let c = configuration
    let model = scope["text_model"]
    let embeddings = model["embeddings"]
    tokenEmbedding = try embeddings.weight("token_embedding.weight", shape: [c.vocabularySize, c.hiddenSize])
    positionEmbedding = try embeddings.weight("position_embedding.weight", shape: [c.positionCount, c.hiddenSize])
    var layers: [CLIPLayer] = []
    for index in 0..<c.layerCount { layers.append(try CLIPLayer(model["encoder"]["layers"][index], c)) }
    self.layers = layers
    finalNorm = try LayerNorm(model["final_layer_norm"], channels: c.hiddenSize, epsilon: c.normEpsilon)
    for prefix in ["vision_model.", "visual_projection.", "text_projection.", "logit_scale"] {
      scope.ignore(prefix: prefix)
    }
    embeddings.ignore(prefix: "position_ids")
  }

  /// All normalized states `[B, L, C]` and the pooled vector of each row `[B, C]`.
  /// - Parameter ids: int32 `[B, L]` with an end token in each row.
  public func callAsFunction(
    _ ids: Tensor, in context: ForwardContext
  ) throws(BackendError) -> (states: Tensor, pooled: Tensor) {
    let backend = context.backend
    let (batch, length) = (ids.shape[0], ids.shape[1])
    precondition(
      length <= configuration.positionCount, "CLIP: \(length) tokens, at most \(configuration.positionCount)")
    let positions = Tensor((0..<batch).flatMap { _ in (0..<Int32(length)) }, shape: [batch, length])
    var x = try backend.residual(
      backend.embedding(ids, table: tokenEmbedding), gate: nil, backend.embedding(positions, table: positionEmbedding))
    for (index, layer) in layers.enumerated() {
      x = try layer(x, in: context)
      try context.endBlock(BlockName("text encoder 2", "text_model.encoder.layers", index), ["hidden states": x])
    }
    let states = try finalNorm(x, in: context)
    var pooled: [Tensor] = []
    for (row, position) in endPositions(ids).enumerated() {
      pooled.append(states.select(0, row).slice(0, position..<position + 1))
    }
    return (states, try backend.concatenate(pooled, axis: 0))
  }

  /// Where each row ends. The public configuration carries end token 2, a left-over that stands for "the largest id".
  private func endPositions(_ ids: Tensor) -> [Int] {
    (0..<ids.shape[0]).map { row in
      let values = ids.select(0, row).integers()
      let end = configuration.endToken == 2 ? values.max() : configuration.endToken
      return values.firstIndex { $0 == end } ?? values.count - 1
    }
  }
}
