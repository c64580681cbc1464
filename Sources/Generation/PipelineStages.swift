import HunyuanVideo
import Layers
import TensorCore
import TensorOps

/// Runs the stages of a pipeline one after the other: tells who watches, and gives memory back between them.
struct PipelineStages {
  let contexts: StageContexts
  let observer: any GenerationObserver
  /// Opens a network by its name in messages, where it can be read: to say why a result is no number.
  let network: (String) -> PublishedNetwork?

  func callAsFunction<Result>(
    _ stage: GenerationStage, units: Int = 1, _ body: () throws -> Result
  ) throws -> Result {
    try observer.checkInterruption()
    observer.stageDidStart(stage, units: units)
    contexts.transformer.recorder?.begin(.stage, stage.rawValue)
    let result: Result
    do { result = try body() } catch let error as BackendError {
      throw NonFiniteWeights.explain(error, network: network)
    }
    contexts.transformer.recorder?.end(.stage, skipped: false)
    observer.stageDidEnd(stage)
    // The next stage has tensors of other sizes.
    HostBufferPool.shared.trim()
    contexts.transformer.backend.trim()
    return result
  }
}
