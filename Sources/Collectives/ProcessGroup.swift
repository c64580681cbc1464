public import TensorCore

/// Why ranks could not exchange data.
public struct CollectiveError: Error, CustomStringConvertible {
  public let operation: String
  public let reason: String

  public init(operation: String, reason: String) {
    self.operation = operation
    self.reason = reason
  }

  public var description: String { "communication failed: \(operation): \(reason)" }
}

/// A transfer under way.
public protocol PendingTransfer: Sendable {
  /// Waits, and returns what was received.
  func wait() throws(CollectiveError) -> Tensor
}

/// Ranks that work on the same sample. With one rank every operation is the identity, so no caller asks whether it is
/// distributed.
///
/// All ranks call the same operations in the same order. Tensors are contiguous; the parts that ranks exchange may differ in
/// shape, and a receiver says which shapes it expects.
public protocol ProcessGroup: Sendable {
  /// This rank's number in `0..<size`.
  var rank: Int { get }
  var size: Int { get }

  /// Sends `parts[r]` to rank `r` and returns what each rank sent here, of the shapes `receiving`.
  func allToAll(_ parts: [Tensor], receiving: [Shape]) throws(CollectiveError) -> [Tensor]

  /// Returns every rank's tensor, of the shapes `receiving`.
  func allGather(_ tensor: Tensor, receiving: [Shape]) throws(CollectiveError) -> [Tensor]

  /// Starts sending a tensor to one rank while receiving one from another.
  func exchange(
    sending tensor: Tensor, to destination: Int, receiving shape: Shape, from source: Int
  ) throws(CollectiveError) -> any PendingTransfer

  /// Sums over all ranks; every rank gets the same bits.
  func sum(_ values: [Double]) throws(CollectiveError) -> [Double]

  /// Gives every rank the bytes of rank `root`.
  func broadcast(_ bytes: [UInt8], from root: Int) throws(CollectiveError) -> [UInt8]

  /// Waits for all ranks.
  func barrier() throws(CollectiveError)

  /// The group of the ranks that give the same color, ordered by `key`.
  func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup
}
