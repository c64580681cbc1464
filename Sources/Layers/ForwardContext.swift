public import TensorCore
public import TensorOps

/// What a forward pass runs in: the device, which video tokens are here, and how video and text attend to each other. One
/// device, sharded sequences and sparse masks differ in `tokens` and `jointAttention` alone; a network cannot tell which it is
/// running on.
public struct ForwardContext: Sendable {
  public let backend: any Backend
  public let tokens: any TokenSharding
  public let jointAttention: any JointAttention
  /// Reads weights ahead where they are not all in memory; nil where they are.
  public let weightStreaming: (any WeightStreaming)?
  /// Whether results of blocks are searched for NaN and infinity.
  public let checksFiniteness: Bool

  public init(
    backend: any Backend, tokens: any TokenSharding = WholeSequence(),
    jointAttention: any JointAttention = LocalJointAttention(), weightStreaming: (any WeightStreaming)? = nil,
    checksFiniteness: Bool = true
  ) {
    self.backend = backend
    self.tokens = tokens
    self.jointAttention = jointAttention
    self.weightStreaming = weightStreaming
    self.checksFiniteness = checksFiniteness
  }

  /// Full attention of all tokens of a sample, video first, then text.
  public func attention(
    video: AttentionInputs, text: AttentionInputs
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    try jointAttention.attend(video: video, text: text, on: backend)
  }

  /// Stops a run whose numbers are no longer numbers, naming where it happened.
  /// - Throws: `BackendError.nonFinite`.
  public func requireFinite(_ tensor: Tensor, at location: @autoclosure () -> String) throws(BackendError) {
    if checksFiniteness, try !backend.isFinite(tensor) {
      throw .nonFinite(
        location: location(), remedy: "a weight of this block or of one before it is not finite, or an input overflowed"
      )
    }
  }
}

/// Queries, keys and values of one stream, each `[B, L, N, D]`.
public struct AttentionInputs: Sendable {
  public let query: Tensor
  public let key: Tensor
  public let value: Tensor

  public init(query: Tensor, key: Tensor, value: Tensor) {
    self.query = query
    self.key = key
    self.value = value
  }

  /// `1 / √D`
  public var scale: Float { 1 / Float(query.shape.last).squareRoot() }
}

/// How the tokens of a sample attend to each other, wherever they are.
public protocol JointAttention: Sendable {
  /// Attention of this rank's video and text queries over all tokens of the sample. Results `[B, L, N, D]`.
  func attend(
    video: AttentionInputs, text: AttentionInputs, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor)
}

/// All tokens are here.
public struct LocalJointAttention: JointAttention {
  public init() {}

  public func attend(
    video: AttentionInputs, text: AttentionInputs, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    let outputs = try backend.attention(
      queries: [video.query, text.query],
      keyValues: [KeyValue(key: video.key, value: video.value), KeyValue(key: text.key, value: text.value)],
      scale: video.scale, mask: .none, logSumExp: false)
    return (outputs[0].values, outputs[1].values)
  }
}
