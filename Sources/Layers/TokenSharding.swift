public import TensorCore
public import TensorOps

/// Which of a sample's video and text tokens are on this rank, between patch embedding and the final projection.
public protocol TokenSharding: Sendable {
  /// The tokens that this rank holds of a stream of `count`.
  func range(of count: Int) -> Range<Int>

  /// All `count` tokens of a stream `[B, count, C]` from every rank's `[B, l, C]`; every rank gets them.
  func gathered(_ tokens: Tensor, count: Int, on backend: any Backend) throws(BackendError) -> Tensor
}

/// All tokens are here.
public struct WholeSequence: TokenSharding {
  public init() {}

  public func range(of count: Int) -> Range<Int> { 0..<count }

  public func gathered(_ tokens: Tensor, count: Int, on backend: any Backend) throws(BackendError) -> Tensor { tokens }
}
