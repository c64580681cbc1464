public import TensorCore

/// Is told which weights a network uses, in order, so that weights which stay on disk can be read ahead and let go. The
/// networks do not know whether anyone listens.
public protocol WeightStreaming: Sendable {
  /// A weight is about to be read.
  func willUse(_ weight: Weight)

  /// A weight has been used for what is probably the last time: it should not be read ahead again.
  func didServe(_ weight: Weight)

  /// Whether what follows is used at all is about to be decided: nothing beyond the last weight used should be read until
  /// one is.
  func willDecide()
}

extension WeightStreaming {
  public func willDecide() {}
}
