import Checkpoints
import TensorCore
import TensorOps

/// Finds the weight behind a result that is not finite.
enum NonFiniteWeights {
  /// The error with the guilty weight in its text, where there is one in the blocks that the error names; else the error
  /// as it was.
  static func explain(_ error: BackendError, checkpoints: [String]) -> BackendError {
    guard case .nonFinite(let location, _) = error else { return error }
    // `transformer: step 0: double_blocks.3`: the last part names one or several blocks.
    let blocks = location.split(separator: ": ").last?.split(separator: ", ").map(String.init) ?? []
    for path in checkpoints {
      guard let checkpoint = try? Checkpoint(path: path) else { continue }
      for tensor in checkpoint.tensors where blocks.contains(where: { belongs(tensor.name, to: $0) }) {
        if tensor.dtype.isFloatingPoint, !tensor.tensor.floats().allSatisfy(\.isFinite) {
          return .nonFinite(
            location: location,
            remedy: "the weight \(tensor.name) in \(tensor.file) holds such values; replace the file")
        }
      }
    }
    return error
  }

  /// Whether a key is a block's, whatever prefix a release puts before its names.
  private static func belongs(_ key: String, to block: String) -> Bool {
    key.hasPrefix(block + ".") || key.contains("." + block + ".")
  }
}
