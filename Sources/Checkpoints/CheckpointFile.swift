import TensorCore

/// A file of weights in any format that is read.
protocol CheckpointFile: Sendable {
  var path: String { get }
  var tensors: [CheckpointTensor] { get }
  /// The file's own notes.
  var metadata: [String: String] { get }
  /// The size of the file in bytes.
  var byteCount: Int { get }
  /// What the file holds beside tensors under names of weights: each name, and what would make its value.
  var opaqueEntries: [String: String] { get }
}

extension CheckpointFile {
  var opaqueEntries: [String: String] { [:] }
}

/// The formats of weight files, told apart by their first bytes.
public enum CheckpointFormat: Sendable {
  case safetensors, pytorch, gguf

  /// Names of files in folders that may hold weights, and of those that a safetensors index goes with.
  static let otherSuffixes = [".pt", ".pth", ".ckpt", ".bin", ".gguf"]
  static let safetensorsSuffixes = [".safetensors", ".sft"]

  /// Opens a file of whatever format it is.
  /// - Parameter loadKey: The wrapper's key in PyTorch files.
  static func open(_ path: String, loadKey: String?) throws(CheckpointError) -> any CheckpointFile {
    let start = try FileStart(of: path)
    switch start.format {
    case .safetensors: return try SafetensorsFile(path: path)
    case .pytorch: return try PyTorchFile(path: path, loadKey: loadKey)
    case .gguf: return try GGUFFile(path: path)
    case nil:
      try start.refuseOthers(path)
      // Its reader says what is wrong with it.
      return try SafetensorsFile(path: path)
    }
  }

  /// The format of a file by its contents, whatever its name is.
  /// - Returns: nil for other files.
  /// - Throws: `CheckpointError` where it cannot be read, and for what stands in the place of a file: a Git LFS pointer, a
  ///   web page, nothing.
  public init?(of path: String) throws(CheckpointError) {
    let start = try FileStart(of: path)
    if start.isPlaceholder { try start.refuseOthers(path) }
    guard let format = start.format else { return nil }
    self = format
  }
}
