public import TensorCore

/// The named tensors of one network: of a single file, or of all files of a folder.
public struct Checkpoint: Sendable {
  /// The file or folder that was opened.
  public let path: String
  /// The files that hold tensors.
  public let files: [String]
  /// All tensors, file by file in the order of their data.
  public let tensors: [CheckpointTensor]
  /// The files' own notes; where files disagree, the last one's.
  public let metadata: [String: String]
  private let positions: [String: Int]
  private let scales: ScaleTable
  /// What stands under names of weights and is no tensor: what would make it.
  private let opaqueEntries: [String: String]

  /// Opens a safetensors, PyTorch or GGUF file, or a folder with one. A folder with an index
  /// (`*.safetensors.index.json`) holds the shards that it names, no others; without one, all its safetensors files;
  /// without any, its one PyTorch or GGUF file.
  ///
  /// Factors of 8-bit weights are no tensors of the checkpoint: `WeightScope` joins them to their weights. Names are the
  /// network's own, without those of wrappers that it was trained in (`module.`, `_orig_mod.`).
  /// - Parameter loadKey: The key of the weights in PyTorch files; see `PyTorchFile`.
  /// - Throws: `CheckpointError` for files that are absent, lie about their contents, contradict their index or hold a
  ///   name twice.
  public init(path: String, loadKey: String? = nil) throws(CheckpointError) {
    switch FileSystem.kind(of: path) {
    case .absent: throw .missingFile(path: path, reason: "a file of weights or a folder that holds one")
    case .folder: try self.init(folder: path, loadKey: loadKey)
    case .file: try self.init(path: path, files: [CheckpointFormat.open(path, loadKey: loadKey)])
    case .other: throw .unreadable(file: path, reason: "not a regular file")
    }
  }

  private init(folder: String, loadKey: String?) throws(CheckpointError) {
    let names = ScaleMap.removed(from: try FileSystem.names(inFolder: folder))
    let indices = names.filter { $0.hasSuffix(".safetensors.index.json") }
    if indices.count > 1 { throw .ambiguous(folder: folder, candidates: indices) }
    let index: ShardIndex? =
      if let name = indices.first { try ShardIndex(contentsOf: FileSystem.join(folder, name)) } else { nil }
    var shards =
      try index?.shards(inFolder: names, folder)
      ?? names.filter { name in CheckpointFormat.safetensorsSuffixes.contains { name.hasSuffix($0) } }
    if shards.isEmpty {
      shards = names.filter { name in CheckpointFormat.otherSuffixes.contains { name.hasSuffix($0) } }
      if shards.count > 1 { throw .ambiguous(folder: folder, candidates: shards) }
    }
    var files: [any CheckpointFile] = []
    for name in shards {
      files.append(try CheckpointFormat.open(FileSystem.join(folder, name), loadKey: loadKey))
    }
    if files.isEmpty {
      throw .missingFile(path: folder, reason: "a file of weights (safetensors, pt, gguf) in this folder")
    }
    try index?.check(files)
    try self.init(path: folder, files: files)
  }

  private init(path: String, files: [any CheckpointFile]) throws(CheckpointError) {
    var metadata: [String: String] = [:]
    for file in files { metadata.merge(file.metadata) { $1 } }
    var scales = ScaleTable()
    let stored = try WrapperNames.removed(from: files.flatMap(\.tensors))
    try ForeignQuantization.refuse(stored)
    let tensors = try scales.take(from: stored)
    if files.count == 1 { try ScaleMap.add(to: &scales, of: files[0], tensors) }
    var opaque: [String: String] = [:]
    for file in files { opaque.merge(file.opaqueEntries.map { (WrapperNames.bare($0), $1) }) { $1 } }
    try self.init(
      path: path, files: files.map(\.path), tensors: tensors, metadata: metadata, scales: scales, opaqueEntries: opaque)
  }

  /// A checkpoint of tensors in memory.
  /// - Precondition: tensors are contiguous, in host memory, and names distinct.
  public init(_ tensors: [(name: String, tensor: Tensor)], path: String = "memory") {
    let tensors = tensors.map { name, tensor in
      precondition(tensor.isContiguous, "checkpoint: \(name): \(tensor) is not contiguous")
      return CheckpointTensor(
        name: name, dtype: tensor.dtype, shape: tensor.shape, file: path, storage: tensor.storage,
        byteOffset: tensor.offset * tensor.dtype.byteCount)
    }
    do {
      var scales = ScaleTable()
      let weights = try scales.take(from: tensors)
      try self.init(path: path, files: [], tensors: weights, metadata: [:], scales: scales)
    } catch {
      preconditionFailure("\(error)")
    }
  }

  private init(
    path: String, files: [String], tensors: [CheckpointTensor], metadata: [String: String], scales: ScaleTable,
    opaqueEntries: [String: String] = [:]
  ) throws(CheckpointError) {
    var positions = [String: Int](minimumCapacity: tensors.count)
    for (position, tensor) in tensors.enumerated() {
      if let previous = positions.updateValue(position, forKey: tensor.name) {
        throw .duplicateKey(key: tensor.name, files: [tensors[previous].file, tensor.file])
      }
    }
    self.path = path
    self.files = files
    self.tensors = tensors
    self.metadata = metadata
    self.positions = positions
    self.scales = scales
    self.opaqueEntries = opaqueEntries
  }

  /// The tensor with a name.
  public subscript(name: String) -> CheckpointTensor? { positions[name].map { tensors[$0] } }

  /// The number of stored elements.
  public var elementCount: Int { tensors.reduce(0) { $0 + $1.shape.count } }

  /// The size of all tensors in bytes.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// The number of tensors of each type, by what the types are called.
  public var typeCounts: [String: Int] { Dictionary(tensors.map { ($0.typeName, 1) }, uniquingKeysWith: +) }

  /// The same checkpoint with tensors in another form: query and key rows of llama.cpp's exports in their first order
  /// (`CheckpointTensor.separatingHalves`), for example.
  /// - Parameter transform: Gives the form of each tensor; names stay.
  public func mapTensors(
    _ transform: (CheckpointTensor) throws(CheckpointError) -> CheckpointTensor
  ) throws(CheckpointError) -> Checkpoint {
    var mapped: [CheckpointTensor] = []
    for tensor in tensors { mapped.append(try transform(tensor)) }
    return try Checkpoint(
      path: path, files: files, tensors: mapped, metadata: metadata, scales: scales, opaqueEntries: opaqueEntries)
  }

  /// What would make the value that a file has in the place of a tensor; nil where it has none.
  func kindOfOpaqueEntry(_ name: String) -> String? { opaqueEntries[name] }

  /// A tensor as a parameter: in its stored type, with its factors where the checkpoint has any.
  /// - Throws: `CheckpointError.missingScale` for 8-bit numbers without the factors that the checkpoint says they have;
  ///   `wrongType` for blocks in a tensor of less than two axes.
  func weight(_ tensor: CheckpointTensor) throws(CheckpointError) -> Weight {
    if tensor.blocks != nil && tensor.shape.rank < 2 {
      throw .wrongType(file: tensor.file, key: tensor.name, expected: "numbers one by one in a vector", found: .uint8)
    }
    return try scales.weight(tensor)
  }
}
