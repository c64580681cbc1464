public import Checkpoints

/// The sizes of a LLaMA language model, from its `config.json`.
public struct LlamaConfiguration: Sendable, Hashable {
  public var hiddenSize: Int
  public var layerCount: Int
  public var headCount: Int
  public var keyValueHeadCount: Int
  public var headDimension: Int
  public var mlpHiddenSize: Int
  public var vocabularySize: Int
  public var normEpsilon: Float
  public var rotaryTheta: Float
  /// How the turns of positions are slowed down, for prompts longer than those of the training.
  public var rotaryScaling = RotaryScaling.none

  /// LLaMA-3-8B, the language model of the published text encoder.
  public static let llama3Of8Billion = LlamaConfiguration(
    hiddenSize: 4096, layerCount: 32, headCount: 32, keyValueHeadCount: 8, headDimension: 128, mlpHiddenSize: 14336,
    vocabularySize: 128_320, normEpsilon: 1e-5, rotaryTheta: 500_000)

  private init(
    hiddenSize: Int, layerCount: Int, headCount: Int, keyValueHeadCount: Int, headDimension: Int, mlpHiddenSize: Int,
    vocabularySize: Int, normEpsilon: Float, rotaryTheta: Float
  ) {
    self.hiddenSize = hiddenSize
    self.layerCount = layerCount
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headDimension = headDimension
    self.mlpHiddenSize = mlpHiddenSize
    self.vocabularySize = vocabularySize
    self.normEpsilon = normEpsilon
    self.rotaryTheta = rotaryTheta
  }

  /// - Parameters:
  ///   - defaults: The sizes that the tensors tell; a full LLaVA configuration writes few down.
  ///   - notes: Whether `defaults` are also told by notes in the weights' file: they have what no tensor tells.
  /// - Throws: `CheckpointError` for missing fields, wrong types, variants that the encoder does not compute and fields that
  ///   nobody knows.
  public init(
    _ root: ConfigurationReader, defaults: LlamaConfiguration? = nil, notes: Bool = false
  ) throws(CheckpointError) {
    let text = try root.object("text_config")
    let reader = text ?? root
    hiddenSize = try reader.positiveInt("hidden_size", default: defaults?.hiddenSize)
    layerCount = try reader.positiveInt("num_hidden_layers", default: defaults?.layerCount)
    headCount = try reader.positiveInt("num_attention_heads", default: defaults?.headCount)
    keyValueHeadCount = try reader.positiveInt(
      "num_key_value_heads", default: defaults?.keyValueHeadCount ?? headCount)
    headDimension = try reader.positiveInt("head_dim", default: max(hiddenSize / headCount, 1))
    mlpHiddenSize = try reader.positiveInt("intermediate_size", default: defaults?.mlpHiddenSize)
    vocabularySize = try reader.positiveInt("vocab_size", default: defaults?.vocabularySize)
    normEpsilon = Float(
      try reader.positiveDouble("rms_norm_eps", default: notes ? defaults.map { Double($0.normEpsilon) } : nil))
    (rotaryTheta, rotaryScaling) = try reader.rotation(
      defaultTheta: notes ? defaults.map { Double($0.rotaryTheta) } : nil, defaultScaling: defaults?.rotaryScaling)
    try reader.require(
      "num_key_value_heads", headCount % keyValueHeadCount == 0, "a divisor of \(headCount)", "\(keyValueHeadCount)")
    try reader.require("head_dim", headDimension % 2 == 0, "an even number", "\(headDimension)")
    try reader.requirePlainLlama()
    if text != nil { root.ignore(InertSettings.ofPictures + InertSettings.ofTransformers) }
    try root.finish()
  }

  /// The text of a `config.json` with these sizes.
  public var fields: String {
    """
    {
      "head_dim": \(headDimension),
      "hidden_act": "silu",
      "hidden_size": \(hiddenSize),
      "intermediate_size": \(mlpHiddenSize),
      "num_attention_heads": \(headCount),
      "num_hidden_layers": \(layerCount),
      "num_key_value_heads": \(keyValueHeadCount),
      "rms_norm_eps": \(normEpsilon),
      "rope_theta": \(rotaryTheta),\(rotaryScaling.fields)
      "vocab_size": \(vocabularySize)
    }

    """
  }
}

extension ConfigurationReader {
  /// Refuses what a language model of LLaMA's names may have and LLaMA has not.
  fileprivate func requirePlainLlama() throws(CheckpointError) {
    try require("model_type", isOneOf: ["llama"], effect: "this is another language model")
    try require("hidden_act", equals: "silu")
    for (key, effect) in [
      ("attention_bias", "queries, keys and values have biases"), ("mlp_bias", "the MLP has biases"),
      ("use_sliding_window", "attention looks back over a window only"),
    ] { try require(key, isOneOf: [false], effect: effect) }
    for (key, effect) in [
      ("sliding_window", "attention looks back over a window only"),
      ("quantization_config", "weights are quantized in a way that the file's tensors do not tell"),
    ] { try require(key, isOneOf: [], effect: effect) }
    try require(
      "pruned_heads", isOneOf: [[:]], effect: "some heads are cut out of the weights")
    if let kinds = try? strings("layer_types", default: []), kinds.allSatisfy({ $0 == "full_attention" }) {
    } else {
      try require("layer_types", isOneOf: [], effect: "layers differ in what they look at")
    }
    ignore(InertSettings.ofTransformers + InertSettings.ofLanguageModels)
    try finish()
  }
}
