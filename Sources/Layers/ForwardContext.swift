public import TensorCore
public import TensorOps

/// What a forward pass runs in: the device, which video tokens are here, and how video and text attend to each other. One
/// device, sharded sequences and sparse masks differ in `tokens` and `jointAttention` alone; a network cannot tell which it is
/// running on.
public struct ForwardContext: Sendable {
  public var backend: any Backend
  public var tokens: any TokenSharding
  public var jointAttention: any JointAttention
  /// Reads weights ahead where they are not all in memory; nil where they are.
  public var weightStreaming: (any WeightStreaming)?
  /// Whether results of blocks are searched for NaN and infinity.
  public var checksFiniteness: Bool
  /// Is told of blocks as they end; nil where nobody asks.
  public var recorder: (any ForwardRecorder)?
  /// Whether the run has been told to end; nil where it ends between passes alone. Asked by networks whose one pass takes long.
  public var isStopped: (@Sendable () -> Bool)?

  public init(
    backend: any Backend, tokens: any TokenSharding = WholeSequence(),
    jointAttention: any JointAttention = LocalJointAttention(), weightStreaming: (any WeightStreaming)? = nil,
    checksFiniteness: Bool = true, recorder: (any ForwardRecorder)? = nil
  ) {
    self.backend = backend
    self.tokens = tokens
    self.jointAttention = jointAttention
    self.weightStreaming = weightStreaming
    self.checksFiniteness = checksFiniteness
    self.recorder = recorder
  }

  /// This context for a sample whose tokens are of these numbers on all ranks together.
  public func sized(videoTokens: Int, textTokens: Int) -> ForwardContext {
    var sized = self
    sized.jointAttention = jointAttention.sized(videoTokens: videoTokens, textTokens: textTokens)
    return sized
  }

  /// Full attention of all tokens of a sample, video first, then text.
  public func attention(
    video: AttentionInputs, text: AttentionInputs
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    try jointAttention.attend(video: video, text: text, on: backend)
  }

  /// Marks the end of a block: its results are searched for what is no number, and whoever records the run is told.
  /// - Parameters:
  ///   - block: where this is; made where it is needed alone.
  ///   - results: what the block hands on, by names for messages.
  /// - Throws: `BackendError.nonFinite`, and what `checkStop` throws.
  public func endBlock(
    _ block: @autoclosure () -> BlockName, _ results: KeyValuePairs<StaticString, Tensor>
  ) throws(BackendError) {
    try checkStop()
    if checksFiniteness {
      for (name, tensor) in results where tensor.count > 0 {
        if try !backend.isFinite(tensor) { throw nonFinite(try backend.download(tensor), "\(name)", block()) }
      }
    }
    if let recorder { recorder.blockDidEnd(block()) }
  }

  /// Ends a pass that is not wanted any more, or whose weights are lost.
  /// - Throws: `BackendError.stopped` or `lostFile`.
  public func checkStop() throws(BackendError) {
    if let isStopped, isStopped() { throw .stopped }
    do { try MappedFile.requireIntact() } catch { throw .lostFile(error) }
  }

  private func nonFinite(_ result: Tensor, _ name: String, _ block: BlockName) -> BackendError {
    .nonFinite(
      NonFiniteResult(
        location: "\(block): \(name)", network: "\(block.network)",
        blocks: block.block.split(separator: ", ").map(String.init), found: NonFiniteCount(result).text,
        cause: "a weight of this block is not finite, or its numbers overflowed"))
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
  /// This attention for a sample whose tokens are of these numbers on all ranks together.
  func sized(videoTokens: Int, textTokens: Int) -> any JointAttention

  /// Attention of this rank's video and text queries over all tokens of the sample. Results `[B, L, N, D]`.
  func attend(
    video: AttentionInputs, text: AttentionInputs, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor)
}

extension JointAttention {
  public func sized(videoTokens: Int, textTokens: Int) -> any JointAttention { self }
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
