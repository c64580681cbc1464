public import Layers
import TensorCore
import TensorOps

/// What each network of a pipeline runs in. All are on one device; where that has a choice of types, networks differ in them.
public struct StageContexts: Sendable {
  public var textEncoders: ForwardContext
  public var transformer: ForwardContext
  public var autoencoder: ForwardContext

  public init(textEncoders: ForwardContext, transformer: ForwardContext, autoencoder: ForwardContext) {
    (self.textEncoders, self.transformer, self.autoencoder) = (textEncoders, transformer, autoencoder)
  }

  /// One for all networks.
  public init(_ context: ForwardContext) {
    self.init(textEncoders: context, transformer: context, autoencoder: context)
  }

  /// The same with weights that are read ahead.
  func streaming(_ weights: (any WeightStreaming)?) -> StageContexts {
    var contexts = self
    contexts.textEncoders.weightStreaming = weights
    contexts.transformer.weightStreaming = weights
    contexts.autoencoder.weightStreaming = weights
    return contexts
  }

  /// A tensor that the text encoders made, as the transformer takes it. It stays on the device.
  func handedOver(_ text: Tensor) throws(BackendError) -> Tensor {
    try transformer.backend.upload(textEncoders.backend.contiguous(text))
  }
}
