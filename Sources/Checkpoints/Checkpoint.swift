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

  /// Opens a safetensors file, or a folder with one or several of them. A folder with an index
  /// (`*.safetensors.index.json`) holds the shards that it names, no others.
  /// - Throws: `CheckpointError` for files that are absent, lie about their contents, contradict their index or hold a
  ///   name twice.
  public init(path: String) throws(CheckpointError) {
    switch FileSystem.kind(of: path) {
    case .absent: throw .missingFile(path: path, reason: "a safetensors file or a folder that holds one")
    case .folder: try self.init(folder: path)
    case .file: try self.init(path: path, files: [SafetensorsFile(path: path)])
    case .other: throw .unreadable(file: path, reason: "not a regular file")
    }
  }

  private init(folder: String) throws(CheckpointError) {
    let names = try FileSystem.names(inFolder: folder)
    let indices = names.filter { $0.hasSuffix(".safetensors.index.json") }
    if indices.count > 1 { throw .ambiguous(folder: folder, candidates: indices) }
    let index: ShardIndex? =
      if let name = indices.first { try ShardIndex(contentsOf: FileSystem.join(folder, name)) } else { nil }
    var files: [SafetensorsFile] = []
    for name in try index?.shards(inFolder: names, folder) ?? names.filter({ $0.hasSuffix(".safetensors") }) {
      files.append(try SafetensorsFile(path: FileSystem.join(folder, name)))
    }
    if files.isEmpty { throw .missingFile(path: folder, reason: "a file *.safetensors in this folder") }
    try index?.check(files)
    try self.init(path: folder, files: files)
  }

  private init(path: String, files: [SafetensorsFile]) throws(CheckpointError) {
    var metadata: [String: String] = [:]
    for file in files { metadata.merge(file.metadata) { $1 } }
    try self.init(path: path, files: files.map(\.path), tensors: files.flatMap(\.tensors), metadata: metadata)
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
      try self.init(path: path, files: [], tensors: tensors, metadata: [:])
    } catch {
      preconditionFailure("\(error)")
    }
  }

  private init(
    path: String, files: [String], tensors: [CheckpointTensor], metadata: [String: String]
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
  }

  /// The tensor with a name.
  public subscript(name: String) -> CheckpointTensor? { positions[name].map { tensors[$0] } }

  /// The number of stored elements.
  public var elementCount: Int { tensors.reduce(0) { $0 + $1.shape.count } }

  /// The size of all tensors in bytes.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// The number of tensors of each type.
  public var dtypeCounts: [DType: Int] { Dictionary(tensors.map { ($0.dtype, 1) }, uniquingKeysWith: +) }
}
