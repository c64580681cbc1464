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

  /// Both streams with a module's gates, each `[1, C]`.
  func gated(by gates: (video: Tensor, text: Tensor)) -> GatedStreams {
    GatedStreams(
      video: ResidualStream(video, gate: gates.video), text: ResidualStream(text, gate: gates.text))
  }
}

/// The residual streams as what a module adds its output to.
struct GatedStreams {
  let video: ResidualStream
  let text: ResidualStream

  /// Both streams with a module's output added.
  func adding(_ output: TokenStreams, on backend: any Backend) throws(BackendError) -> TokenStreams {
    TokenStreams(
      video: try backend.residual(video.x, gate: video.gate, output.video),
      text: try backend.residual(text.x, gate: text.gate, output.text))
  }
}
