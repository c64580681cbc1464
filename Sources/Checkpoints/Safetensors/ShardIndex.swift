import StrictJSON

/// The index of a checkpoint in several files: `{"weight_map": {key: file name}}`.
struct ShardIndex {
  private let path: String
  /// File name of each key.
  private let fileNames: [String: String]

  /// Reads an index. Shards are files of the index's own folder: a name with a path in it is refused.
  init(contentsOf path: String) throws(CheckpointError) {
    self.path = path
    func malformed(_ place: String, _ expected: String, _ found: String) -> CheckpointError {
      .malformed(file: path, place: place.oneLine, expected: expected, found: found)
    }
    guard let map = try JSONValue(contentsOf: path)["weight_map"].object else {
      throw malformed("weight_map", "an object of file names", "none")
    }
    var fileNames: [String: String] = [:]
    for (key, value) in map {
      guard let name = value.string else { throw malformed("weight_map: \(key)", "a file name", value.summary) }
      guard !name.contains("/"), !name.utf8.contains(0), name.hasSuffix(".safetensors") else {
        throw malformed("weight_map: \(key)", "the name of a safetensors file beside the index", value.summary)
      }
      fileNames[key] = name
    }
    self.fileNames = fileNames
  }

  /// The names of all shards, sorted; each must be among the names in the folder.
  func shards(inFolder names: [String], _ folder: String) throws(CheckpointError) -> [String] {
    let shards = Set(fileNames.values)
    if let absent = shards.subtracting(names).min() {
      throw .missingFile(path: FileSystem.join(folder, absent), reason: "the shard that \(path.oneLine) names")
    }
    return shards.sorted()
  }

  /// Checks that the shards hold the keys that the index says, and no others.
  func check(_ files: [any CheckpointFile]) throws(CheckpointError) {
    var held: [String: Set<String>] = [:]
    for file in files {
      let name = FileSystem.name(of: file.path)
      held[name] = Set(file.tensors.map(\.name))
      for tensor in file.tensors where fileNames[tensor.name] != name {
        let expected = fileNames[tensor.name].map { "it in \($0)" } ?? "no such key"
        throw .indexMismatch(index: path, key: tensor.name, expected: expected, found: "it in \(name)")
      }
    }
    for (key, name) in fileNames.sorted(by: { $0.key < $1.key }) where held[name]?.contains(key) != true {
      throw .indexMismatch(index: path, key: key, expected: "it in \(name)", found: "none there")
    }
  }
}
