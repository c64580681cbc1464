import Collectives
import HunyuanVideo
public import TensorCore

/// The parts of a run, in order.
public enum GenerationStage: String, Sendable, CaseIterable {
  case encodePrompts = "encode prompts"
  /// Before previews, the decoder is there early.
  case fitPreviews = "fit previews"
  case loadTransformer = "load transformer"
  case condition = "prepare steps"
  case denoise
  case loadDecoder = "load decoder"
  case decode
}

/// One step of the sampler.
public struct StepRecord: Sendable, Codable {
  public let index: Int
  public let sigma: Float
  public let seconds: Double
  /// Whether a step cache stood for the blocks; with true guidance, on both passes.
  public let skipped: Bool
  /// How often the network was asked: twice with true guidance.
  public let passes: Int
  /// On how many of them it ran all its blocks.
  public let passesComputed: Int
  /// What the cache's rule compared, and the limit below which it skips; nil where it did not look. With true guidance, on the pass
  /// of the prompt.
  public let cacheChange: Double?
  public let cacheLimit: Double?
  /// What this rank sent to others, and how long that took: from the start of each transfer to its end, and the part of it
  /// for which the rank waited.
  public let bytesSent: Int
  public let communicationSeconds: Double
  public let exposedCommunicationSeconds: Double
  /// Blocks of tensor memory that the system had to give: after the first step none, but for what a step cache keeps.
  public let allocations: Int

  init(
    index: Int, sigma: Float, seconds: Double, passes: Int, passesComputed: Int, change: StepChange?,
    communication: CommunicationStatistics, allocations: Int
  ) {
    self.allocations = allocations
    (self.index, self.sigma, self.seconds, skipped) = (index, sigma, seconds, passesComputed == 0)
    (self.passes, self.passesComputed) = (passes, passesComputed)
    (cacheChange, cacheLimit) = (change?.value, change?.limit)
    bytesSent = communication.bytesSent
    (communicationSeconds, exposedCommunicationSeconds) = (communication.seconds, communication.exposedSeconds)
  }
}

/// Is told how a run goes. Called on the thread that runs the pipeline.
public protocol GenerationObserver: AnyObject {
  /// A stage begins; it has `units` parts (steps, tiles) or is one.
  func stageDidStart(_ stage: GenerationStage, units: Int)
  /// One part of the stage is done.
  func stageDidAdvance(_ stage: GenerationStage)
  func stageDidEnd(_ stage: GenerationStage)
  /// Latents in host memory: 0 is the initial noise, `i` the result of step `i`.
  func latentsDidChange(_ latents: Tensor, step: Int) throws
  func stepDidEnd(_ record: StepRecord)
  /// After every step, and before the first: `state` makes all that is needed to go on from here, or nil where the step cache
  /// cannot be saved. Throwing ends the run.
  func stateDidChange(step: Int, of steps: Int, _ state: () throws -> SamplerState?) throws
  /// Asked between parts of the work; throwing ends the run.
  func checkInterruption() throws
  /// Something the user should know.
  func warn(_ message: String)
}

extension GenerationObserver {
  public func stageDidStart(_ stage: GenerationStage, units: Int) {}
  public func stageDidAdvance(_ stage: GenerationStage) {}
  public func stageDidEnd(_ stage: GenerationStage) {}
  public func latentsDidChange(_ latents: Tensor, step: Int) throws {}
  public func stepDidEnd(_ record: StepRecord) {}
  public func stateDidChange(step: Int, of steps: Int, _ state: () throws -> SamplerState?) throws {}
  public func checkInterruption() throws {}
  public func warn(_ message: String) {}
}
