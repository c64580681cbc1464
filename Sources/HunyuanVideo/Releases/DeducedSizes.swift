import Checkpoints
import TensorCore

// Sizes that releases do not write down, told by the tensors. What shapes cannot tell (head counts, the division of a
// head between the axes) is taken from the published networks where the rest agrees with them, else it must be written.

extension TransformerConfiguration {
  /// - Returns: sizes whose `rotaryDimensions` are empty where the heads are not those of the published networks.
  init(deducedFrom scope: WeightScope) {
    self.init(hasGuidanceEmbedding: scope.has("guidance_in.mlp.0.weight"))
    if let proj = scope.shape(of: "img_in.proj.weight"), proj.rank == 5 {
      (hiddenSize, inputChannels, patchSize) = (proj[0], proj[1], Array(proj.dimensions[2...]))
    } else if let proj = scope.shape(of: "img_in.proj.weight"), let bias = scope.shape(of: "img_in.proj.bias") {
      // Axes were joined for a tool that has four: the published patches tell the channels.
      (hiddenSize, inputChannels) = (bias.count, proj.count / max(bias.count * patchVolume, 1))
    }
    // Extents of zero are found when the network is built; here they must not divide.
    let head = max(scope.shape(of: "double_blocks.0.img_attn_q_norm.weight")?.count ?? 0, 1)
    headCount = max(hiddenSize / head, 1)
    if head != rotaryDimensions.reduce(0, +) { rotaryDimensions = [] }
    doubleBlockCount = scope.count { "double_blocks.\($0).img_attn_q_norm.weight" }
    singleBlockCount = scope.count { "single_blocks.\($0).q_norm.weight" }
    refinerBlockCount = scope.count { "txt_in.individual_token_refiner.blocks.\($0).norm1.weight" }
    if let mlp = scope.shape(of: "double_blocks.0.img_mlp.fc1.weight") {
      mlpRatio = Double(mlp[0]) / Double(max(hiddenSize, 1))
    }
    if let text = scope.shape(of: "txt_in.input_embedder.weight") { textChannels = text.last }
    if let text = scope.shape(of: "vector_in.in_layer.weight") { pooledTextChannels = text.last }
    if let final = scope.shape(of: "final_layer.linear.weight") { outputChannels = final[0] / max(patchVolume, 1) }
  }
}

extension AutoencoderConfiguration {
  init(deducedFrom scope: WeightScope) {
    let blocks = scope.count { "decoder.up_blocks.\($0).resnets.0.conv1.conv.weight" }
    blockChannels = (0..<blocks).reversed().compactMap {
      scope.outputs(of: "decoder.up_blocks.\($0).resnets.0.conv1.conv")
    }
    layersPerBlock = max(scope.count { "decoder.up_blocks.0.resnets.\($0).conv1.conv.weight" } - 1, 1)
    if let latents = scope.outputs(of: "post_quant_conv") { latentChannels = latents }
    if let pixels = scope.outputs(of: "decoder.conv_out.conv") { outputChannels = pixels }
    hasMidBlockAttention = scope.has("decoder.mid_block.attentions.0.to_q.weight")
  }
}

extension LlamaConfiguration {
  /// The sizes that a checkpoint tells: by its tensors, and by its notes where it has such.
  /// - Returns: nil where neither tells the number of heads.
  init?(of checkpoint: Checkpoint, _ names: NamingScheme) throws(CheckpointError) {
    let hasNotes = checkpoint.metadata["llama.attention.head_count"] != nil
    self.init(deducedFrom: WeightScope(checkpoint, keys: names.keys), assumesHeads: !hasNotes)
    if hasNotes { try read(notes: checkpoint.metadata, of: checkpoint.path) }
    try readFrequencyFactors(of: checkpoint)
  }

  /// llama.cpp writes LLaMA 3.1's scaling as a tensor, a factor for each pair of channels.
  private mutating func readFrequencyFactors(of checkpoint: Checkpoint) throws(CheckpointError) {
    let key = "rope_freqs.weight"
    guard let stored = checkpoint[key] else { return }
    let count = headDimension / 2
    guard stored.dtype == .float32, stored.shape == [count] else {
      throw .wrongShape(file: stored.file, key: key, expected: [count], found: stored.shape)
    }
    let factors = stored.tensor.floats()
    guard factors.allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw .invalidConfiguration(file: stored.file, key: key, expected: "positive numbers", found: "others")
    }
    if factors.contains(where: { $0 != 1 }) { rotaryScaling = .each(factors) }
  }

  /// - Parameter assumesHeads: whether heads are taken to be LLaMA-3's of 128.
  /// - Returns: nil where the width is no multiple of such heads.
  private init?(deducedFrom scope: WeightScope, assumesHeads: Bool) {
    let model = scope["model"]
    guard let embedding = model.shape(of: "embed_tokens.weight"), embedding.rank == 2,
      let keys = model.shape(of: "layers.0.self_attn.k_proj.weight"),
      let mlp = model.shape(of: "layers.0.mlp.gate_proj.weight")
    else { return nil }
    self = .llama3Of8Billion
    (vocabularySize, hiddenSize, mlpHiddenSize) = (embedding[0], embedding[1], mlp[0])
    layerCount = model.count { "layers.\($0).input_layernorm.weight" }
    guard hiddenSize > 0, keys[0] > 0 else { return nil }
    if !assumesHeads { return }
    guard hiddenSize % headDimension == 0, keys[0] % headDimension == 0 else { return nil }
    (headCount, keyValueHeadCount) = (hiddenSize / headDimension, keys[0] / headDimension)
  }
}

extension CLIPTextConfiguration {
  /// - Returns: sizes with CLIP's heads of 64; nil where the width is no multiple of that.
  init?(deducedFrom scope: WeightScope) {
    let model = scope["text_model"]
    guard let tokens = model.shape(of: "embeddings.token_embedding.weight"), tokens.rank == 2,
      let positions = model.shape(of: "embeddings.position_embedding.weight"),
      let mlp = model.shape(of: "encoder.layers.0.mlp.fc1.weight"), tokens[1] > 0, tokens[1] % 64 == 0
    else { return nil }
    self = .clipL
    (vocabularySize, hiddenSize, positionCount, mlpHiddenSize) = (tokens[0], tokens[1], positions[0], mlp[0])
    headCount = hiddenSize / 64
    layerCount = model.count { "encoder.layers.\($0).layer_norm1.weight" }
  }
}

extension WeightScope {
  /// The outputs of a convolution, as its bias tells: its weights' axes may be joined.
  fileprivate func outputs(of module: String) -> Int? {
    if let bias = shape(of: "\(module).bias") { return bias.count }
    return shape(of: "\(module).weight")?.dimensions.first
  }

  /// How many numbered parameters there are, from 0 on.
  fileprivate func count(_ name: (Int) -> String) -> Int {
    var count = 0
    while has(name(count)) { count += 1 }
    return count
  }
}
