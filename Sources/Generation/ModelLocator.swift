import Checkpoints
import HunyuanVideo

/// Finds the parts of a checkpoint: in its folder, by its layout or its `model.json`, or where flags say.
public struct ModelLocator {
  public let root: String
  public let layout: ModelLayout?
  let defaults: ModelDefaults
  private let parts: ModelParts
  /// The paths in `model.json`.
  private let files: ConfigurationReader?

  /// - Parameter parts: files to use instead of the folder's.
  /// - Throws: `RequestError` where that is no folder or holds two layouts; `CheckpointError` for a malformed `model.json`.
  public init(_ root: String, parts: ModelParts = ModelParts()) throws {
    guard FileSystem.isFolder(root) else {
      throw Self.missing("checkpoint folder", at: root, expected: "a folder", flag: "--model")
    }
    (self.root, self.parts) = (root, parts)
    let description = root + "/model.json"
    var (files, defaults): (ConfigurationReader?, ModelDefaults) = (nil, ModelDefaults())
    if FileSystem.isFile(description) {
      let reader = try ConfigurationReader(contentsOf: description)
      files = try reader.object("files")
      if let values = try reader.object("defaults") { defaults = try ModelDefaults(values) }
    }
    (self.files, self.defaults) = (files, defaults)
    layout = try Self.layout(of: root, transformerIsGiven: parts.transformer != nil || files != nil)
  }

  /// The file of a part's weights, or the folder of its shards.
  /// - Throws: `RequestError` where there is none, or several candidates.
  public func weights(_ part: ModelPart) throws -> String {
    if let given = part.path(in: parts) { return try Self.weights(in: given, part, flag: part.flag) }
    if let path = try files?.string(part.name, default: "") ?? nil, !path.isEmpty {
      return try Self.weights(in: root + "/" + path, part, flag: "--model")
    }
    // A folder without a transformer has no layout: it may hold the wanted part alone.
    let folders = (layout.map { [$0] } ?? ModelLayout.allCases).flatMap { part.folder(in: $0) }
    let found = folders.first { FileSystem.isFolder(root + "/" + $0) } ?? folders[0]
    return try Self.weights(in: root + "/" + found, part, flag: "--model or \(part.flag)")
  }

  /// The folder of the language model's tokenizer.
  /// - Parameter encoder: the path of its weights.
  /// - Throws: `RequestError` where there is none.
  public func tokenizer(besideEncoder encoder: String) throws -> String {
    try Self.tokenizer(
      parts.tokenizer, [Self.folder(of: encoder), root + "/tokenizer", root + "/text_encoder"],
      [["tokenizer.json"], ["tokenizer.model"]], flag: "--tokenizer-path")
  }

  /// The folder of CLIP's tokenizer.
  /// - Parameter encoder: the path of its weights.
  /// - Throws: `RequestError` where there is none.
  public func tokenizer2(besideEncoder encoder: String) throws -> String {
    try Self.tokenizer(
      parts.tokenizer2, [Self.folder(of: encoder), root + "/tokenizer_2", root + "/text_encoder_2"],
      [["tokenizer.json"], ["vocab.json", "merges.txt"]], flag: "--tokenizer-2-path")
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

// MARK: Files

extension ModelLocator {
  private static let weightTypes = ["safetensors", "sft", "pt", "pth", "ckpt", "bin", "gguf"]

  /// The weights at a path: the path itself for a file and for a folder of shards, else the one file in the folder that
  /// holds the wanted network.
  private static func weights(in path: String, _ part: ModelPart, flag: String) throws -> String {
    let kind = part.network
    if FileSystem.isFile(path) { return path }
    guard FileSystem.isFolder(path) else {
      throw missing("\(kind.title) weights", at: path, expected: "a file or folder", flag: flag)
    }
    let names = try FileSystem.names(inFolder: path)
    if names.contains(where: { $0.hasSuffix(".safetensors.index.json") }) { return path }
    var files = names.filter { weightTypes.contains(Self.split($0).type.lowercased()) }
    // A release has the same weights in several formats; the one that is read fastest counts.
    let safe = files.filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".sft") }
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
      found: candidates.count > 1 ? "neither there nor in \(candidates[1])" : "nothing",
      remedy: "name the folder with \(flag)")
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
