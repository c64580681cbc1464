import Checkpoints
import HunyuanVideo
import TensorCore
import TensorOps

/// Finds out why a result is not finite.
enum NonFiniteWeights {
  /// The error with its likely cause: the guilty weight of the block that the error names, where there is one, else that the
  /// weights are not to blame. Other errors stay what they are.
  /// - Parameter network: opens a network by its name in errors.
  static func explain(_ error: BackendError, network: (String) -> PublishedNetwork?) -> BackendError {
    guard case .nonFinite(var result) = error, let network = network(result.network) else { return error }
    let path = network.checkpoint.path
    if let weight = guiltyWeight(of: result.blocks, in: network) {
      result.cause =
        "the weight \(weight) in \(path) holds NaN or infinity; get the file again and compare its checksum"
    } else {
      result.cause =
        "the block's weights in \(path) are finite: its numbers overflowed; check that the file's config.json and "
        + "factors of 8-bit weights belong to it, and try without a step cache and with --cfg-scale 1"
    }
    return .nonFinite(result)
  }

  /// The key of the first weight of the blocks that is not finite, as its file has it. Names are the canonical ones whatever
  /// release the file is of.
  private static func guiltyWeight(of blocks: [String], in network: PublishedNetwork) -> String? {
    let scope = network.scope()
    for name in scope.names where blocks.contains(where: { name == $0 || name.hasPrefix($0 + ".") }) {
      guard let shape = scope.shape(of: name), let parts = try? scope.rowParts(name, shape: shape) else { continue }
      for part in parts where (try? part.isFinite()) == false { return part.name }
    }
    return nil
  }
}
