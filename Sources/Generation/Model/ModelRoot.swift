import Checkpoints
import HunyuanVideo

/// Where a checkpoint is, given a path that people take for it.
enum ModelRoot {
  /// The folder of a checkpoint: the given one, or the snapshot of one of the Hugging Face cache.
  /// - Throws: `RequestError` where that is no folder, or none of several snapshots is the current one.
  static func resolved(_ path: String) throws(RequestError) -> String {
    if FileSystem.isFile(path) { throw notAFolder(path) }
    guard FileSystem.isFolder(path) else {
      throw RequestError(
        "missing checkpoint folder", at: path, expected: "a folder", found: "nothing",
        remedy: "check --model; hyvideo inspect shows what a folder holds")
    }
    return try snapshot(of: path) ?? path
  }

  /// Whether a folder looks like a checkpoint of several networks.
  static func isModel(_ path: String) -> Bool {
    FileSystem.isFile(path + "/model.json")
      || ModelLayout.allCases.contains { layout in
        ModelPart.transformer.folder(in: layout).contains { FileSystem.isFolder(path + "/" + $0) }
      } || FileSystem.isFolder(path + "/text_encoder")
  }

  // MARK: The Hugging Face cache

  /// The snapshot of a folder `models--OWNER--NAME`: that of its main branch, or the only one.
  /// - Returns: nil for other folders.
  private static func snapshot(of path: String) throws(RequestError) -> String? {
    let folder = path + "/snapshots"
    guard !isModel(path), FileSystem.isFolder(folder) else { return nil }
    let names = ((try? FileSystem.names(inFolder: folder)) ?? []).filter { FileSystem.isFolder(folder + "/" + $0) }
    if let current = reference(path + "/refs/main"), names.contains(current) { return folder + "/" + current }
    if names.count == 1 { return folder + "/" + names[0] }
    throw RequestError(
      names.isEmpty ? "empty cache folder" : Self.several, at: folder,
      expected: "one snapshot, or refs/main to name one",
      found: names.isEmpty ? "none" : names.joined(separator: ", "),
      remedy: names.isEmpty ? "download the checkpoint again" : "name one of these folders with --model")
  }

  private static let several = "several snapshots"

  /// The name that a reference holds. What is no plain name is none.
  private static func reference(_ path: String) -> String? {
    guard FileSystem.isFile(path), let bytes = try? FileSystem.contents(of: path, limit: 1 << 10) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).first.map(String.init)
  }

  // MARK: Near misses

  /// What to say of a folder without any part of a checkpoint, where one is near it.
  static func misplaced(_ root: String) -> RequestError? {
    let pictures = "hunyuan-video-i2v-720p"
    if FileSystem.isFolder(root + "/" + pictures) {
      return RequestError(
        "wrong release", at: root, expected: "HunyuanVideo text to video", found: "image to video (\(pictures))",
        remedy: "name a folder of the text-to-video release")
    }
    if isModel(root) { return nil }
    let near = below(root) + above(root)
    if near.isEmpty { return nil }
    return RequestError(
      "no checkpoint in this folder", at: root,
      expected: "the folders of a release (docs/checkpoints.md lists them)",
      found: "none, but near it "
        + near.joined(separator: ", "),
      remedy: near.count == 1 ? "did you mean --model \(near[0])?" : "name one of these with --model")
  }

  /// Checkpoints in the folders of a folder, and in those of its cache and `models`.
  private static func below(_ root: String) -> [String] {
    var found: [String] = []
    for folder in [root, root + "/hub", root + "/models", root + "/ckpts"] {
      let names = (try? FileSystem.names(inFolder: folder)) ?? []
      for path in names.prefix(1000).map({ folder + "/" + $0 }) where FileSystem.isFolder(path) {
        guard let inner = try? resolved(path), isModel(inner), !found.contains(path) else { continue }
        found.append(path)
      }
    }
    return Array(found.prefix(8))
  }

  /// The checkpoint that a folder is a part of.
  private static func above(_ root: String) -> [String] {
    var path = root
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    for _ in 0..<2 {
      let parent = FileSystem.folder(of: path)
      if parent == path || parent == "." && path == "." { return [] }
      if isModel(parent) { return [parent] }
      path = parent
    }
    return []
  }

  /// A file in place of a folder, with the flag that it is for.
  private static func notAFolder(_ path: String) -> RequestError {
    var (found, remedy) = ("a file", "name the folder, or the file with the flag of its part")
    if let checkpoint = try? Checkpoint(path: path) {
      if let network = try? PublishedNetwork(checkpoint), network.variant == nil {
        found = "a file with a \(network.names.network.title)"
        remedy = "name the file with \(network.names.network.flag)"
      } else if let other = (try? PublishedNetwork(checkpoint))?.variant ?? OtherNetwork(of: checkpoint) {
        (found, remedy) = ("a file with \(other.title)", other.remedy)
      }
    }
    return RequestError("no checkpoint folder", at: path, expected: "a folder (--model)", found: found, remedy: remedy)
  }
}
