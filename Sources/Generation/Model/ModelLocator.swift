import Checkpoints
import HunyuanVideo

/// Finds the parts of a checkpoint: in its folder, by its layout or its `model.json`, or where flags say.
public struct ModelLocator {
  public let root: String
  public let layout: ModelLayout?
  public let defaults: ModelDefaults
  private let parts: ModelParts
  /// The paths in `model.json`.
  private let files: ConfigurationReader?

  /// - Parameters:
  ///   - root: a checkpoint folder, or one of the Hugging Face cache, of which the snapshot is taken.
  ///   - parts: files to use instead of the folder's.
  ///   - tolerate: is told of settings that cannot be followed, for who only looks; without it they are errors.
  /// - Throws: `RequestError` where that is no folder or holds two layouts; `CheckpointError` for a malformed `model.json` and
  ///   for a pipeline or steps that are not computed.
  public init(_ root: String, parts: ModelParts = ModelParts(), tolerate: ((any Error) -> Void)? = nil) throws {
    let root = try ModelRoot.resolved(root)
    (self.root, self.parts) = (root, parts)
    let description = root + "/model.json"
    var (files, defaults): (ConfigurationReader?, ModelDefaults) = (nil, ModelDefaults())
    var scheduler: SchedulerSettings?
    do {
      try Self.checkPipeline(root)
      scheduler = try SchedulerSettings(inFolder: root)
      if let scheduler { defaults.take(scheduler) }
    } catch { if let tolerate { tolerate(error) } else { throw error } }
    if FileSystem.isFile(description) {
      let reader = try ConfigurationReader(contentsOf: description)
      files = try reader.object("files")
      for part in ModelPart.allCases { _ = try files?.string(part.name, default: "") }
      try files?.finish()
      if let values = try reader.object("defaults") { defaults = try ModelDefaults(values, scheduler: scheduler) }
      reader.ignore(Self.notes)
      try reader.finish()
    }
    // A transformer that was named has its own release's steps, where they are beside it.
    if let transformer = parts.transformer {
      do {
        let folder = FileSystem.folder(of: Self.folder(of: transformer))
        if let own = try SchedulerSettings(inFolder: folder) { defaults.take(own) }
      } catch { if let tolerate { tolerate(error) } else { throw error } }
    }
    (self.files, self.defaults) = (files, defaults)
    layout = try Self.layout(of: root, transformerIsGiven: parts.transformer != nil || files != nil)
  }

  /// What `model.json` tells its readers, not the program.
  private static let notes = [
    InertSettings(
      [
        "name", "captions", "training", "accuracy", "known_weaknesses", "rounding",
        "seconds_in_pytorch_on_two_cpu_cores",
      ]
        + ["description", "license", "notes"],
      because: "for readers")
  ]

  /// Refuses a folder of another of diffusers' pipelines.
  private static func checkPipeline(_ root: String) throws {
    let index = root + "/model_index.json"
    guard FileSystem.isFile(index) else { return }
    let reader = try ConfigurationReader(contentsOf: index)
    try reader.require(
      "_class_name", isOneOf: ["HunyuanVideoPipeline"],
      effect: "this is another pipeline (of image to video, or of other networks)")
    reader.ignore([
      InertSettings(
        ModelPart.allCases.map(\.name) + ["tokenizer", "tokenizer_2", "scheduler"],
        because: "classes; each part's own configuration is read")
    ])
    try reader.finish()
  }

  /// The file of a part's weights, or the folder of its shards.
  /// - Throws: `RequestError` where there is none, or several candidates.
  public func weights(_ part: ModelPart) throws -> String {
    if let given = part.path(in: parts) { return try WeightSearch(part, flag: part.flag).path(in: given) }
    if let path = try files?.string(part.name, default: "") ?? nil, !path.isEmpty {
      return try WeightSearch(part, flag: "--model").path(in: root + "/" + path)
    }
    // A folder without a transformer has no layout: it may hold the wanted part alone.
    let folders = (layout.map { [$0] } ?? ModelLayout.allCases).flatMap { part.folder(in: $0) }
    let found = folders.filter { FileSystem.isFolder(root + "/" + $0) }
    if found.isEmpty, let other = ModelRoot.misplaced(root) { throw other }
    let search = WeightSearch(
      part, flag: "--model or \(part.flag)", searchesSubfolders: layout == .comfy || layout == nil)
    // ComfyUI has two folders for some parts.
    var failure: (any Error)?
    for folder in found.isEmpty ? [folders[0]] : found {
      do { return try search.path(in: root + "/" + folder) } catch let error as RequestError {
        if error.what == WeightSearch.severalCandidates { throw error }
        failure = failure ?? error
      }
    }
    throw failure ?? search.missing(at: root + "/" + folders[0])
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

  private static func folder(of path: String) -> String {
    FileSystem.isFolder(path) ? path : FileSystem.folder(of: path)
  }
}
