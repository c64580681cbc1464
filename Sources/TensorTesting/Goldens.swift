public import Checkpoints
public import StrictJSON
public import TensorCore

/// The reference outputs under `Tests/Goldens`, and other files of the package that tests read.
public enum Goldens {
  /// The root folder of the package. Tests run from a checkout, so the place of this source file tells it.
  public static let packageRoot: String = {
    let components = #filePath.split(separator: "/").dropLast(3)
    return "/" + components.joined(separator: "/")
  }()

  /// The path of a file under `Tests/Goldens`.
  public static func path(_ name: String) -> String { repositoryPath("Tests/Goldens/\(name)") }

  /// The path of a file or folder of the package: `Models/demo/text_encoder`.
  public static func repositoryPath(_ name: String) -> String { "\(packageRoot)/\(name)" }

  /// The tensors of a safetensors file under `Tests/Goldens`.
  /// - Throws: `CheckpointError` where it is absent or malformed.
  public static func tensors(_ name: String) throws(CheckpointError) -> GoldenTensors {
    try GoldenTensors(SafetensorsFile(path: path(name)))
  }

  /// A JSON document under `Tests/Goldens`.
  /// - Throws: `CheckpointError` where it is absent or malformed.
  public static func json(_ name: String) throws(CheckpointError) -> JSONValue { try JSONValue(contentsOf: path(name)) }
}

/// The tensors of one golden file.
public struct GoldenTensors: Sendable {
  private let file: SafetensorsFile

  public init(_ file: SafetensorsFile) { self.file = file }

  /// All names, in the order of the data.
  public var names: [String] { file.tensors.map(\.name) }

  /// The strings that the writer left with the tensors: configuration, versions.
  public var metadata: [String: String] { file.metadata }

  public func has(_ name: String) -> Bool { file[name] != nil }

  /// A tensor as it is stored.
  /// - Throws: `CheckpointError.missingFile` where the file has no such tensor.
  public func tensor(_ name: String) throws(CheckpointError) -> Tensor {
    guard let tensor = file[name] else { throw .missingFile(path: file.path, reason: "a golden tensor \(name)") }
    return tensor.tensor
  }

  /// A tensor's elements as 32-bit integers, for token ids that Python wrote as 64-bit ones.
  /// - Throws: as `tensor(_:)`.
  public func int32(_ name: String) throws(CheckpointError) -> Tensor {
    let tensor = try tensor(name)
    return Tensor(tensor.integers().map(Int32.init(clamping:)), shape: tensor.shape)
  }
}
