import Checkpoints
import HunyuanVideo

/// Looks for the weights of a part at a path.
struct WeightSearch {
  private let part: ModelPart
  private let flag: String
  private let searchesSubfolders: Bool

  static let severalCandidates = "several candidates"
  private static let types = ["safetensors", "sft", "pt", "pth", "ckpt", "bin", "gguf"]
  /// People sort their models in folders, not in trees.
  private static let depth = 3
  /// Files that are looked into at most.
  private static let most = 200

  /// - Parameter flag: the flag that led here.
  init(_ part: ModelPart, flag: String, searchesSubfolders: Bool = false) {
    (self.part, self.flag, self.searchesSubfolders) = (part, flag, searchesSubfolders)
  }

  private var kind: NetworkKind { part.network }

  /// The path itself for a file and for a folder of shards, else the one file in the folder that holds the wanted network.
  func path(in path: String) throws -> String {
    if FileSystem.isFile(path) { return path }
    guard FileSystem.isFolder(path) else { throw missing(at: path, expected: "a file or folder") }
    let names = try FileSystem.names(inFolder: path)
    if Self.isSharded(names) { return path }
    var files = Self.weights(names)
    // Tencent's folder has the 16-bit weights, their 8-bit form and its factors; the first are the default.
    let published = ["mp_rank_00_model_states", "pytorch_model"].flatMap { stem in
      files.filter { Self.split($0).stem == stem }
    }
    if let first = published.first { files = [first] }
    let nested = searchesSubfolders ? Self.nested(in: path, names, depth: Self.depth) : []
    if files.count > 1 || !nested.isEmpty && !files.isEmpty {
      let fitting = files.filter { holds($0, in: path) }
      // One that is something else is better named when it is opened than not found.
      files = fitting.isEmpty && nested.isEmpty && files.count == 1 ? files : fitting
    }
    if files.isEmpty { files = nested.prefix(Self.most).filter { holds($0, in: path) } }
    if files.count > 1 {
      throw RequestError(
        Self.severalCandidates, at: path, expected: "one \(kind.title)", found: files.joined(separator: ", "),
        remedy: "choose with \(part.flag)")
    }
    guard let file = files.first else {
      throw missing(
        at: path, expected: "a file *." + Self.types.joined(separator: ", *."),
        found: others(Self.weights(names) + Self.nested(in: path, names, depth: Self.depth), in: path))
    }
    return path + "/" + file
  }

  func missing(at path: String, expected: String = "a file or folder", found: String = "nothing") -> RequestError {
    RequestError(
      "missing \(kind.title) weights", at: path, expected: expected, found: found,
      remedy: "check \(flag); hyvideo inspect shows what a folder holds")
  }

  /// Whether a file or folder holds the wanted network, and such that is run.
  private func holds(_ name: String, in folder: String) -> Bool {
    guard let checkpoint = try? Checkpoint(path: folder + "/" + name),
      NamingScheme(of: checkpoint)?.network == kind
    else { return false }
    return (try? PublishedNetwork(checkpoint))?.variant == nil
  }

  /// What files hold in which the wanted network is not.
  private func others(_ names: [String], in folder: String) -> String {
    let titles = names.prefix(4).map { name -> String in
      guard let checkpoint = try? Checkpoint(path: folder + "/" + name) else { return "\(name), which cannot be read" }
      let network = try? PublishedNetwork(checkpoint)
      let title =
        network?.variant?.title ?? OtherNetwork(of: checkpoint)?.title ?? network.map { "a \($0.names.network.title)" }
      return "\(name) (\(title ?? "no network that is known"))"
    }
    if names.isEmpty { return searchesSubfolders ? "nothing, in its subfolders neither" : "nothing" }
    return titles.joined(separator: ", ") + (names.count > 4 ? ", …" : "")
  }

  // MARK: Names

  private static func isSharded(_ names: [String]) -> Bool {
    if names.contains(where: { $0.hasSuffix(".safetensors.index.json") }) { return true }
    let safe = names.filter { $0.hasSuffix(".safetensors") }
    return safe.count > 1 && safe.allSatisfy { $0.contains("-of-") }
  }

  /// Files of weights. A release has the same weights in several formats; the one that is read fastest counts.
  private static func weights(_ names: [String]) -> [String] {
    let files = names.filter { types.contains(split($0).type.lowercased()) }
    let safe = files.filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".sft") }
    return safe.isEmpty ? files : safe
  }

  /// Files of weights and folders of shards in the folders of a folder, by their paths from it.
  private static func nested(in path: String, _ names: [String], depth: Int) -> [String] {
    var found: [String] = []
    for name in names where depth > 0 && !name.hasPrefix(".") && found.count < most {
      let folder = path + "/" + name
      guard FileSystem.isFolder(folder), let inner = try? FileSystem.names(inFolder: folder) else { continue }
      if isSharded(inner) {
        found.append(name)
      } else {
        found += (weights(inner) + nested(in: folder, inner, depth: depth - 1)).map { name + "/" + $0 }
      }
    }
    return found
  }

  /// A name before and after its last dot.
  private static func split(_ name: String) -> (stem: String, type: String) {
    guard let dot = name.lastIndex(of: ".") else { return (name, "") }
    return (String(name[..<dot]), String(name[name.index(after: dot)...]))
  }
}
