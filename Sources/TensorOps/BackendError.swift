public import TensorCore

/// What can go wrong while a backend computes. Shapes and types that do not fit are programming errors and trap instead.
public enum BackendError: Error, CustomStringConvertible {
  /// The device has no room for a tensor.
  case outOfMemory(operation: String, byteCount: Int, remedy: String)
  /// A library below the backend refused a call.
  case libraryFailure(library: String, operation: String, status: String)
  /// A storage type that the backend cannot compute with.
  case unsupportedType(operation: String, found: String, supported: String)
  /// Ranks could not exchange tensors.
  case communicationFailure(operation: String, reason: String)
  /// A result holds NaN or infinity.
  case nonFinite(NonFiniteResult)
  /// A file that weights are mapped from is not what it was.
  case lostFile(MappedFileLoss)
  /// The run was told to end.
  case stopped

  public var description: String {
    switch self {
    case .outOfMemory(let operation, let byteCount, let remedy):
      "out of memory: \(operation): needs \(byteCount) more bytes; \(remedy)"
    case .libraryFailure(let library, let operation, let status):
      "computation failed: \(operation): expected success, \(library) answered \(status); "
        + (library == "CANN"
          ? "see npu-smi info and CANN's log, and what hyvideo bench --device ascend --conformance finds"
          : "please report this with the command line")
    case .unsupportedType(let operation, let found, let supported):
      "unsupported type: \(operation): expected \(supported), found \(found); convert the checkpoint"
    case .communicationFailure(let operation, let reason):
      "communication failed: \(operation): \(reason)"
    case .nonFinite(let result):
      "not a number: \(result.location): expected finite values, found \(result.found); \(result.cause)"
    case .lostFile(let loss): "\(loss)"
    case .stopped: "stopped: the run was told to end"
    }
  }
}
