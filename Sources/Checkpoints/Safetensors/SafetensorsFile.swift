import TensorCore

/// A safetensors file, mapped into memory. Opening reads the header alone, however large the file is; tensors are views.
///
/// The file must not be shortened while it is in use: touching a page that is gone ends the process.
public struct SafetensorsFile: CheckpointFile {
  public let path: String
  /// The strings of `__metadata__`.
  public let metadata: [String: String]
  /// In the order of the data.
  public let tensors: [CheckpointTensor]
  /// The size of the file in bytes.
  public let byteCount: Int
  private let positions: [String: Int]

  /// Opens a file and checks its header.
  /// - Throws: `CheckpointError` where the file cannot be mapped or its header lies; see `SafetensorsHeader`.
  public init(path: String) throws(CheckpointError) {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw CheckpointError(error) }
    let header = try SafetensorsHeader(file)
    self.path = path
    byteCount = file.byteCount
    metadata = header.metadata
    tensors = header.entries.map { entry in
      CheckpointTensor(
        name: entry.name, dtype: entry.dtype, shape: entry.shape, file: path, storage: file,
        byteOffset: entry.bytes.lowerBound)
    }
    positions = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })
  }

  /// The tensor with a name.
  public subscript(name: String) -> CheckpointTensor? { positions[name].map { tensors[$0] } }
}
