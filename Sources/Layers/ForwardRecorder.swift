/// A block of a network by its checkpoint's name, for messages and profiles. It is made at the end of every block: the text is put
/// together where it is read.
public struct BlockName: Sendable, CustomStringConvertible {
  /// `transformer`, `vae`, …
  public let network: StaticString
  /// The step of the sampler, from 0; nil outside of steps.
  public let step: Int?
  /// The list that the block is in, or the block itself: `double_blocks`.
  public let path: StaticString
  /// Its place in the list.
  public let index: Int?

  public init(_ network: StaticString, step: Int? = nil, _ path: StaticString, _ index: Int? = nil) {
    (self.network, self.step, self.path, self.index) = (network, step, path, index)
  }

  /// The key that the block's weights begin with: `double_blocks.7`.
  public var block: String { index.map { "\(path).\($0)" } ?? "\(path)" }

  /// `transformer: step 3: double_blocks.7`; as in all that people read, steps count from 1.
  public var description: String { "\(network): " + (step.map { "step \($0 + 1): " } ?? "") + block }
}

/// A stretch of a run that others lie in.
public enum RunSpan: String, Sendable {
  case stage, step
}

/// Is told how a run goes while it goes, for profiles. Networks do not know whether anyone listens: they name their blocks when
/// these end (`ForwardContext.endBlock`), and a block is all that happened since the one before it ended.
public protocol ForwardRecorder: Sendable {
  func begin(_ span: RunSpan, _ name: String)
  /// - Parameter skipped: whether a cache stood for the blocks.
  func end(_ span: RunSpan, skipped: Bool)
  /// `block` ends here, and another begins.
  func blockDidEnd(_ block: BlockName)
}
