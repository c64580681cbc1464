import TensorCore

/// A file of weights in any format that is read.
protocol CheckpointFile: Sendable {
  var path: String { get }
  var tensors: [CheckpointTensor] { get }
  /// The file's own notes.
  var metadata: [String: String] { get }
  /// The size of the file in bytes.
  var byteCount: Int { get }
}

/// The formats of weight files, told apart by their first bytes.
enum CheckpointFormat {
  case safetensors, pytorch, gguf

  /// Names of files in folders that may hold weights, without those that a safetensors index goes with.
  static let otherSuffixes = [".pt", ".pth", ".bin", ".gguf"]

  /// Opens a file of whatever format it is.
  /// - Parameter loadKey: The wrapper's key in PyTorch files.
  static func open(_ path: String, loadKey: String?) throws(CheckpointError) -> any CheckpointFile {
    switch try format(of: path) {
    case .safetensors: try SafetensorsFile(path: path)
    case .pytorch: try PyTorchFile(path: path, loadKey: loadKey)
    case .gguf: try GGUFFile(path: path)
    }
  }

  private static func format(of path: String) throws(CheckpointError) -> CheckpointFormat {
    var bytes = [UInt8](repeating: 0, count: 8)
    let count = try DescriptorFile(reading: path).read(8, into: &bytes, at: 0)
    let start = bytes.prefix(count)
    if start.starts(with: "PK".utf8) { return .pytorch }
    if start.starts(with: "GGUF".utf8) { return .gguf }
    // A pickle of protocol 2 whose first value is a long number: how PyTorch saved before version 1.6.
    if start.starts(with: [0x80, 2, 0x8A, 0x0A]) {
      throw .unsupportedFormat(
        file: path, found: "a PyTorch file of the format before version 1.6",
        remedy: "load it with PyTorch and save it again")
    }
    return .safetensors
  }
}
