import Layers
public import TensorCore
import TensorOps

/// The residual streams: video tokens `[B, L, C]` and text tokens `[B, S, C]`.
///
/// The reference joins them into one sequence before the single-stream blocks. Here they stay two tensors, of each of which
/// a rank has its share; wherever order matters, video comes first.
public struct TokenStreams: Sendable {
  public let video: Tensor
  public let text: Tensor

  public init(video: Tensor, text: Tensor) {
    self.video = video
    self.text = text
  }
}

extension TokenStreams {
  /// Both streams with their names in messages.
  var named: KeyValuePairs<StaticString, Tensor> { ["video tokens": video, "text tokens": text] }

  /// Both streams with a module's gated output added.
  func adding(
    _ output: TokenStreams, gates: (video: Tensor, text: Tensor), in context: ForwardContext
  ) throws(BackendError) -> TokenStreams {
    TokenStreams(
      video: try context.backend.residual(video, gate: gates.video, output.video),
      text: try context.backend.residual(text, gate: gates.text, output.text))
  }
}
