public import TensorCore
public import TensorOps

/// What a forward pass runs in: the device, which video tokens are here, and how video and text attend to each other. One
/// device, sharded sequences and sparse masks differ in `tokens` and `jointAttention` alone; a network cannot tell which it is
/// running on.
public struct ForwardContext: Sendable {
  public var backend: any Backend
  public var tokens: any TokenSharding
  public var jointAttention: any JointAttention
  /// Where blocks attend; nil outside of a sample's blocks.
  public private(set) var site: AttentionSite?
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

  /// This context for one step of a sample.
  /// - Parameters:
  ///   - grid: extents of its grid of video tokens, on all ranks together.
  ///   - textTokens: on all ranks together.
  public func sample(grid: [Int], textTokens: Int, step: Int) -> ForwardContext {
    var context = self
    context.site = AttentionSite(grid: grid, textTokens: textTokens, step: step, tokens: tokens)
    return context
  }

  /// This context in one of the blocks of a sample.
  public func inBlock(_ index: Int) -> ForwardContext {
    var context = self
    context.site?.block = index
    return context
  }

  /// Attention of all tokens of the sample, video first, then text.
  /// - Precondition: the context is that of a sample.
  public func attention(
    video: AttentionInputs, text: AttentionInputs
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    guard let site else { preconditionFailure("attention of video and text outside of a sample") }
    return try jointAttention.attend(video: video, text: text, at: site, on: backend)
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
  /// Attention of this rank's video and text queries over all tokens of the sample. Results `[B, L, N, D]`.
  func attend(
    video: AttentionInputs, text: AttentionInputs, at site: AttentionSite, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor)
}

/// All tokens are here.
public struct LocalJointAttention: JointAttention {
  public init() {}

  public func attend(
    video: AttentionInputs, text: AttentionInputs, at site: AttentionSite, on backend: any Backend
  ) throws(BackendError) -> (video: Tensor, text: Tensor) {
    let outputs = try backend.attention(
      queries: [video.query, text.query],
      keyValues: [KeyValue(key: video.key, value: video.value), KeyValue(key: text.key, value: text.value)],
      scale: video.scale, mask: site.mask, logSumExp: false)
    return (outputs[0].values, outputs[1].values)
  }
}
