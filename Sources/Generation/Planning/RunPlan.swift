public import TensorOps

/// What a run needs, found before it starts.
public struct RunPlan: Sendable {
  /// One stage on the busiest rank.
  public struct Stage: Sendable {
    public let stage: GenerationStage
    /// Whether it belongs to the run without cache that a cached one is compared with.
    public let isComparison: Bool
    /// Steps or tiles.
    public let units: Int
    /// The largest resident size of the process: program, tensors, working memory, blocks kept for reuse and weights in memory.
    public fileprivate(set) var hostPeakBytes: Int
    /// The same of the device's own memory; 0 where the device computes in the host's.
    public let devicePeakBytes: Int
    /// Of the peak, at most so much is tensors, working memory and blocks kept for reuse.
    public let tensorBytes: Int
    /// Of what tensors and working memory have, so much comes from the system while the stage runs, in all.
    public let newBytes: Int
    /// Of the peak, at most so much is weights, which the system can read again from their files.
    public let weightBytes: Int
    /// Weights that come from files.
    public let bytesRead: Int
    /// What the rank sends to others.
    public let bytesSent: Int
    public let messages: Int
    /// Everything the stage computes.
    public let work: OperationCounts
  }

  public private(set) var stages: [Stage]
  /// A step that computes all blocks, and one that a step cache skips, where there is one.
  public let denseStep: OperationCounts
  public let skippedStep: OperationCounts?
  public let setting: PlanSetting
  /// Of the program itself: code, libraries, tables.
  public private(set) var programBytes: Int

  /// The same plan for a program that has grown since.
  public func adding(programBytes grown: Int) -> RunPlan {
    var result = self
    result.programBytes += grown
    for index in stages.indices { result.stages[index].hostPeakBytes += grown }
    return result
  }

  public var hostPeakBytes: Int { stages.map(\.hostPeakBytes).max() ?? 0 }
  public var devicePeakBytes: Int { stages.map(\.devicePeakBytes).max() ?? 0 }
  /// The stage that decides whether the run fits.
  public var largestStage: Stage? { stages.max { $0.hostPeakBytes < $1.hostPeakBytes } }

  public subscript(stage: GenerationStage) -> Stage? { stages.first { $0.stage == stage } }
}

/// How a run is laid out, beside what the request says.
public struct PlanSetting: Sendable, Hashable {
  public var layout = RankLayout(ulysses: 1, ring: 1)
  /// Whether half of the ranks evaluates the prompt, and half the negative prompt; the layout is that of a half.
  public var splitsGuidance = false
  /// Weights read ahead of their use; nil keeps all in memory.
  public var windowBytes: Int?
  /// Whether all ranks decode tiles, or the first alone.
  public var sharesTiles = true
  /// Whether frames stay in memory until the end, for a file of frames or a comparison.
  public var keepsFrames = false
  /// Steps that a run which goes on has behind it.
  public var stepsDone = 0
  /// Steps between two previews; nil for none.
  public var previewInterval: Int?
  /// Whether the video is made again without cache, and both are compared: frames and the latents of all steps.
  public var comparesWithoutCache = false

  public init() {}

  /// All ranks.
  public var ranks: Int { layout.ranks * (splitsGuidance ? 2 : 1) }
}
