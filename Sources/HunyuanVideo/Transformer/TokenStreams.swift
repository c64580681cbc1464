public import TensorCore

/// The residual streams: video tokens `[B, L, C]` and text tokens `[B, S, C]`.
///
/// The reference joins them into one sequence before the single-stream blocks. Here they stay two tensors, so that video can be
/// sharded while text is not; wherever order matters, video comes first.
public struct TokenStreams: Sendable {
  public let video: Tensor
  public let text: Tensor

  public init(video: Tensor, text: Tensor) {
    self.video = video
    self.text = text
  }
}
