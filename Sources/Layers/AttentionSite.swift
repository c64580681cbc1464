public import TensorOps

/// Where an attention is: in the sample, in the network and in the run. What masks, schedules and budgets may depend on is here, so that
/// neither networks nor step caches know of them.
public struct AttentionSite: Sendable, Hashable {
  /// Extents of the sample's grid of video tokens, on all ranks together: frames, rows, columns. Tokens are in row-major order.
  public let grid: [Int]
  /// Text tokens of the sample.
  public let textTokens: Int
  /// The index of the step, from 0.
  public let step: Int
  /// The index of the block among all that attend to video and text, from 0.
  public var block: Int
  /// The tokens of the sample that this rank has.
  public let ownVideo: Range<Int>
  public let ownText: Range<Int>

  /// - Parameter tokens: who has which tokens.
  public init(
    grid: [Int], textTokens: Int, step: Int = 0, block: Int = 0, tokens: any TokenSharding = WholeSequence()
  ) {
    (self.grid, self.textTokens, self.step, self.block) = (grid, textTokens, step, block)
    (ownVideo, ownText) = (tokens.range(of: grid.reduce(1, *)), tokens.range(of: textTokens))
  }

  /// Video tokens of the sample.
  public var videoTokens: Int { grid.reduce(1, *) }

  /// Which keys a query sees: all of the sample.
  public var mask: AttentionMask { .none }
}
