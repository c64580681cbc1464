public import Checkpoints
public import HunyuanVideo

/// Where the parts of a checkpoint are.
///
/// A folder has the layout of one of the releases (`ModelLayout`), recognized by the transformer's folder, or a
/// `model.json` that names the parts and the defaults.
public struct ModelFolder: Sendable {
  public let root: String
  /// How the folder is arranged; nil where only flags and `model.json` say where parts are.
  public let layout: ModelLayout?
  /// Files, or folders holding the shards of one network.
  public let transformer: String
  public let autoencoder: String
  public let textEncoder: String
  public let textEncoder2: String
  /// Folders with tokenizer files.
  public let tokenizer: String
  public let tokenizer2: String
  public let defaults: ModelDefaults
  /// The key of the transformer's weights in a PyTorch file that has several (`module`, `ema`); nil for the usual ones.
  public let loadKey: String?

  /// - Parameter parts: files to use instead of the folder's (`--dit-weight` and others).
  /// - Throws: `RequestError` naming the first part that is missing or has several candidates; `CheckpointError` for a
  ///   malformed `model.json`.
  public init(_ root: String, parts: ModelParts = ModelParts()) throws {
    guard FileSystem.isFolder(root) else {
      throw Self.missing("checkpoint folder", at: root, expected: "a folder", flag: "--model")
    }
    self.root = root
    loadKey = parts.loadKey
    let description = root + "/model.json"
    var files: ConfigurationReader?
    var defaults = ModelDefaults()
    if FileSystem.isFile(description) {
      let reader = try ConfigurationReader(contentsOf: description)
      files = try reader.object("files")
      if let values = try reader.object("defaults") { defaults = try ModelDefaults(values) }
    }
    self.defaults = defaults
    let layout = try Self.layout(of: root, transformerIsGiven: parts.transformer != nil || files != nil)
    self.layout = layout

    func locate(_ part: ModelPart, _ override: String?, _ kind: NetworkKind) throws -> String {
      if let override { return try Self.weights(in: override, part, kind, flag: part.flag) }
      if let path = try files?.string(part.name, default: "") ?? nil, !path.isEmpty {
        return try Self.weights(in: root + "/" + path, part, kind, flag: "--model")
      }
      let folders = part.folder(in: layout ?? .tencent)
      let found = folders.first { FileSystem.isFolder(root + "/" + $0) } ?? folders[0]
      return try Self.weights(in: root + "/" + found, part, kind, flag: "--model or \(part.flag)")
    }
    transformer = try locate(.transformer, parts.transformer, .transformer)
    autoencoder = try locate(.autoencoder, parts.autoencoder, .autoencoder)
    textEncoder = try locate(.textEncoder, parts.textEncoder, .llama)
    textEncoder2 = try locate(.textEncoder2, parts.textEncoder2, .clip)
    tokenizer = try Self.tokenizer(
      parts.tokenizer, [Self.folder(of: textEncoder), root + "/tokenizer", root + "/text_encoder"],
      [["tokenizer.json"], ["tokenizer.model"]], flag: "--tokenizer-path")
    tokenizer2 = try Self.tokenizer(
      parts.tokenizer2, [Self.folder(of: textEncoder2), root + "/tokenizer_2", root + "/text_encoder_2"],
      [["tokenizer.json"], ["vocab.json", "merges.txt"]], flag: "--tokenizer-2-path")
  }

  /// Whether a folder looks like a checkpoint of several networks.
  public static func isModel(_ path: String) -> Bool {
    FileSystem.isFile(path + "/model.json")
      || ModelLayout.allCases.contains { layout in
        ModelPart.transformer.folder(in: layout).contains { FileSystem.isFolder(path + "/" + $0) }
      } || FileSystem.isFolder(path + "/text_encoder")
  }

  /// The layout whose folder for the transformer is there.
  private static func layout(of root: String, transformerIsGiven: Bool) throws -> ModelLayout? {
    var found: [(layout: ModelLayout, folder: String)] = []
    for layout in ModelLayout.allCases {
      let folder = ModelPart.transformer.folder(in: layout).first { FileSystem.isFolder(root + "/" + $0) }
      if let folder { found.append((layout, folder)) }
    }
    if found.count > 1 && !transformerIsGiven {
      throw RequestError(
        "two layouts", at: root, expected: "one release in a folder",
        found: found.map { "\($0.folder) of \($0.layout.rawValue)" }.joined(separator: " and "),
        remedy: "choose with --dit-weight")
    }
    if found.isEmpty && FileSystem.isFolder(root + "/text_encoders") { return .comfy }
    return found.first?.layout
  }
}

// MARK: Networks

extension ModelFolder {
  /// - Throws: `CheckpointError` where the file cannot be read or holds another network.
  public func transformerNetwork() throws(CheckpointError) -> PublishedNetwork {
    try PublishedNetwork(transformerCheckpoint(), at: transformer, expecting: .transformer)
  }

  /// The transformer's tensors, whatever they are.
  /// - Throws: `CheckpointError` where the file cannot be read.
  public func transformerCheckpoint() throws(CheckpointError) -> Checkpoint {
    try Checkpoint(path: transformer, loadKey: loadKey)
  }

  /// - Throws: `CheckpointError` where the file cannot be read or holds another network.
  public func autoencoderNetwork() throws(CheckpointError) -> PublishedNetwork {
    try PublishedNetwork(path: autoencoder, expecting: .autoencoder)
  }
}

// MARK: Files

extension ModelFolder {
  private static let weightTypes = ["safetensors", "pt", "pth", "bin", "gguf"]

  /// The weights at a path: the path itself for a file and for a folder of shards, else the one file in the folder that
  /// holds the wanted network.
  private static func weights(in path: String, _ part: ModelPart, _ kind: NetworkKind, flag: String) throws -> String {
    if FileSystem.isFile(path) { return path }
    guard FileSystem.isFolder(path) else {
      throw missing("\(kind.title) weights", at: path, expected: "a file or folder", flag: flag)
    }
    let names = try FileSystem.names(inFolder: path)
    if names.contains(where: { $0.hasSuffix(".safetensors.index.json") }) { return path }
    var files = names.filter { weightTypes.contains(Self.split($0).type.lowercased()) }
    // A release has the same weights in several formats; the one that is read fastest counts.
    let safe = files.filter { $0.hasSuffix(".safetensors") }
    if !safe.isEmpty { files = safe }
    if safe.count > 1 && safe.allSatisfy({ $0.contains("-of-") }) { return path }
    let published = ["mp_rank_00_model_states", "pytorch_model"].flatMap { stem in
      files.filter { Self.split($0).stem == stem }
    }
    // Tencent's folder has the 16-bit weights, their 8-bit form and its factors; the first are the default.
    if let first = published.first { files = [first] }
    if files.count > 1 {
      files = files.filter { name in
        guard let checkpoint = try? Checkpoint(path: path + "/" + name) else { return false }
        return NamingScheme(of: checkpoint)?.network == kind
      }
    }
    if files.count > 1 {
      throw RequestError(
        "several candidates", at: path, expected: "one \(kind.title)", found: files.joined(separator: ", "),
        remedy: "choose with \(part.flag)")
    }
    guard let file = files.first else {
      throw missing(
        "\(kind.title) weights", at: path, expected: "a file *." + weightTypes.joined(separator: ", *."), flag: flag)
    }
    return path + "/" + file
  }

  private static func tokenizer(
    _ override: String?, _ folders: [String], _ files: [[String]], flag: String
  ) throws -> String {
    let candidates = override.map { [$0] } ?? folders
    let found = candidates.first { folder in
      files.contains { $0.allSatisfy { FileSystem.isFile(folder + "/" + $0) } }
    }
    if let found { return found }
    throw RequestError(
      "missing tokenizer", at: candidates[0],
      expected: files.map { $0.joined(separator: " and ") }.joined(separator: ", or "),
      found: "neither there nor in "
        + (candidates.count > 1 ? candidates[1] : "its place"), remedy: "name the folder with \(flag)")
  }

  /// A name before and after its last dot.
  private static func split(_ name: String) -> (stem: String, type: String) {
    guard let dot = name.lastIndex(of: ".") else { return (name, "") }
    return (String(name[..<dot]), String(name[name.index(after: dot)...]))
  }

  private static func folder(of path: String) -> String {
    FileSystem.isFolder(path) ? path : FileSystem.folder(of: path)
  }

  private static func missing(_ part: String, at path: String, expected: String, flag: String) -> RequestError {
    RequestError(
      "missing \(part)", at: path, expected: expected, found: "nothing",
      remedy: "check \(flag); hyvideo inspect shows what a folder holds")
  }
}
