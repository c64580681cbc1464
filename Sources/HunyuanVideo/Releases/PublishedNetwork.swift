public import Checkpoints
public import TensorCore

/// A network as somebody published it: its tensors, what they are called there, and its sizes, written down or deduced.
public struct PublishedNetwork: Sendable {
  public let checkpoint: Checkpoint
  public let names: NamingScheme
  /// `config.json` beside the weights, where it describes this network.
  public let configuration: ConfigurationReader?

  /// Recognizes what a checkpoint holds.
  /// - Throws: `CheckpointError` where that is no network that is read, or `config.json` cannot be read.
  public init(_ checkpoint: Checkpoint) throws(CheckpointError) {
    try self.init(checkpoint, wanted: NetworkKind.allCases.map(\.title).joined(separator: ", "))
  }

  private init(_ checkpoint: Checkpoint, wanted: String) throws(CheckpointError) {
    guard let names = NamingScheme(of: checkpoint) else {
      if let other = OtherNetwork(of: checkpoint) {
        throw .otherNetwork(file: checkpoint.path, expected: wanted, found: other.title, remedy: other.remedy)
      }
      let example = checkpoint.tensors.first.map { ", the first \($0.name)" } ?? ""
      throw .unrecognized(
        file: checkpoint.path, expected: wanted, found: "\(checkpoint.tensors.count) tensors of none of these\(example)"
      )
    }
    self.names = names
    configuration = try PublishedNetwork.configuration(beside: checkpoint, of: names.network)
    self.checkpoint =
      names.alternatesHeadHalves ? try PublishedNetwork.inFirstOrder(checkpoint, names, configuration) : checkpoint
  }

  /// Opens a file or folder that must hold a certain network.
  /// - Throws: `CheckpointError` where it holds another one, or cannot be read.
  public init(path: String, expecting kind: NetworkKind) throws(CheckpointError) {
    try self.init(Checkpoint(path: path), at: path, expecting: kind)
  }

  /// A checkpoint that must hold a certain network.
  /// - Throws: `CheckpointError` where it holds another one.
  public init(_ checkpoint: Checkpoint, at path: String, expecting kind: NetworkKind) throws(CheckpointError) {
    try self.init(checkpoint, wanted: kind.title)
    if names.network != kind {
      throw .otherNetwork(
        file: path, expected: kind.title, found: "a \(names.network.title)",
        remedy: "name it with \(names.network.flag), and another file with \(kind.flag)")
    }
    try requireSupported()
  }

  /// The root of the network's parameters.
  public func scope(adopt: @escaping @Sendable (Weight) throws -> Weight = { $0 }) -> WeightScope {
    WeightScope(checkpoint, keys: names.keys, adopt: adopt)
  }

  /// `config.json` in the folder of the weights, unless it says that it is another network's: files from several
  /// releases may be in one folder.
  private static func configuration(
    beside checkpoint: Checkpoint, of kind: NetworkKind
  ) throws(CheckpointError) -> ConfigurationReader? {
    guard let file = checkpoint.files.first else { return nil }
    let path = FileSystem.folder(of: file) + "/config.json"
    guard FileSystem.isFile(path) else { return nil }
    let reader = try ConfigurationReader(contentsOf: path)
    let described = NetworkKind.allCases.filter { describes(reader, $0) }
    // A file that tells of nothing is this network's: what it says must not be passed over.
    let isOthers = !described.isEmpty || reader.text(of: "model_type") != nil || reader.text(of: "_class_name") != nil
    return described.contains(kind) || !isOthers ? reader : nil
  }

  /// Names of classes and of model types. Libraries leave out fields that have their default, so that a file may have none of the
  /// fields that only one network has.
  private static func names(of kind: NetworkKind) -> [String] {
    switch kind {
    case .transformer: ["HunyuanVideoTransformer3DModel", "HYVideoDiffusionTransformer"]
    case .autoencoder: ["AutoencoderKLHunyuanVideo", "AutoencoderKLCausal3D"]
    case .llama: ["llama"]
    case .clip: ["clip", "clip_text_model"]
    }
  }

  /// Whether a configuration names a network or has its fields.
  private static func describes(_ reader: ConfigurationReader, _ kind: NetworkKind) -> Bool {
    let text = (try? reader.object("text_config")) ?? reader
    let found = [text.string(of: "model_type"), reader.string(of: "_class_name")].compactMap(\.self)
    if found.contains(where: names(of: kind).contains) { return true }
    // What names another network is not this one's, whatever fields they share.
    if NetworkKind.allCases.contains(where: { found.contains(where: names(of: $0).contains) }) { return false }
    let isLlama = text.has("rms_norm_eps") || text.has("num_key_value_heads")
    return switch kind {
    case .transformer: reader.has("heads_num") || reader.has("attention_head_dim")
    case .autoencoder: reader.has("block_out_channels")
    case .llama: isLlama
    case .clip: text.has("layer_norm_eps") || text.has("max_position_embeddings") && !isLlama
    }
  }

  /// A language model as llama.cpp exports it, with the rows of queries and keys in the order that it was trained in.
  private static func inFirstOrder(
    _ checkpoint: Checkpoint, _ names: NamingScheme, _ configuration: ConfigurationReader?
  ) throws(CheckpointError) -> Checkpoint {
    let deduced = try LlamaConfiguration(of: checkpoint, names)
    var sizes = deduced
    if let configuration {
      sizes = try LlamaConfiguration(configuration, defaults: deduced, notes: hasNotes(checkpoint))
    }
    guard let sizes else {
      throw .invalidConfiguration(
        file: checkpoint.path, key: "num_attention_heads",
        expected: "the number of heads in the file's notes or in a config.json beside the weights", found: "none")
    }
    return try checkpoint.mapTensors { tensor throws(CheckpointError) in
      if tensor.name.hasSuffix(".attn_q.weight") { return try tensor.separatingHalves(heads: sizes.headCount) }
      if tensor.name.hasSuffix(".attn_k.weight") { return try tensor.separatingHalves(heads: sizes.keyValueHeadCount) }
      return tensor
    }
  }

  /// Whether a file has notes on what its tensors do not tell.
  private static func hasNotes(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.metadata["llama.attention.head_count"] != nil
  }

  private func undetermined(_ field: String, _ expected: String) -> CheckpointError {
    .invalidConfiguration(
      file: checkpoint.path, key: field, expected: "\(expected) in a config.json beside the weights", found: "none")
  }
}

// MARK: Sizes

extension PublishedNetwork {
  /// - Precondition: this is a transformer. The same holds for the other networks' sizes.
  /// - Throws: `CheckpointError` where sizes are neither written down nor told by the tensors.
  public func transformerConfiguration() throws(CheckpointError) -> TransformerConfiguration {
    let deduced = TransformerConfiguration(deducedFrom: scope())
    try require(
      [deduced.hiddenSize, deduced.inputChannels, deduced.outputChannels, deduced.textChannels]
        + [deduced.pooledTextChannels, deduced.doubleBlockCount] + deduced.patchSize)
    if deduced.mlpRatio > 64 { throw undetermined("mlp_width_ratio", "a number up to 64") }
    if let configuration { return try TransformerConfiguration(configuration, defaults: deduced) }
    if deduced.rotaryDimensions.isEmpty {
      throw undetermined("rope_dim_list", "three even numbers with the sum \(deduced.headDimension)")
    }
    return deduced
  }

  public func autoencoderConfiguration() throws(CheckpointError) -> AutoencoderConfiguration {
    let deduced = AutoencoderConfiguration(deducedFrom: scope())
    try require(deduced.blockChannels + [deduced.latentChannels, deduced.outputChannels])
    if let configuration { return try AutoencoderConfiguration(configuration, defaults: deduced) }
    let groups = deduced.normGroups
    if !deduced.blockChannels.allSatisfy({ $0 > 0 && $0 % groups == 0 }) || deduced.blockChannels.count != 4 {
      throw undetermined("norm_num_groups", "a divisor of \(deduced.blockChannels)")
    }
    return deduced
  }

  public func llamaConfiguration() throws(CheckpointError) -> LlamaConfiguration {
    let deduced = try LlamaConfiguration(of: checkpoint, names)
    if let deduced { try require([deduced.hiddenSize, deduced.mlpHiddenSize, deduced.vocabularySize]) }
    if let configuration {
      return try LlamaConfiguration(configuration, defaults: deduced, notes: Self.hasNotes(checkpoint))
    }
    if let deduced { return deduced }
    throw undetermined("num_attention_heads", "the number of heads")
  }

  public func clipConfiguration() throws(CheckpointError) -> CLIPTextConfiguration {
    let deduced = CLIPTextConfiguration(deducedFrom: scope())
    if let deduced { try require([deduced.hiddenSize, deduced.mlpHiddenSize, deduced.positionCount]) }
    // All published models have heads of 64; those of other widths may have any.
    let isPublished = deduced.map { [512, 768, 1024, 1280].contains($0.hiddenSize) } ?? false
    if let configuration {
      let text = try configuration.object("text_config") ?? configuration
      if text.has("num_attention_heads") || isPublished {
        return try CLIPTextConfiguration(configuration, defaults: deduced)
      }
    } else if let deduced, isPublished {
      return deduced
    }
    throw undetermined("num_attention_heads", "the number of heads")
  }

  /// Sizes from a file that claims absurd shapes must not overflow later.
  private func require(_ sizes: [Int]) throws(CheckpointError) {
    if let size = sizes.first(where: { !(1...ConfigurationReader.largestSize).contains($0) }) {
      throw .invalidConfiguration(
        file: checkpoint.path, key: "the tensors' shapes",
        expected: "sizes from 1 to \(ConfigurationReader.largestSize)",
        found: "\(size)")
    }
  }
}
