import Checkpoints
import HunyuanVideo
import Layers
import Synchronization
import TensorCore
import TensorOps

/// The networks of a checkpoint, built from the directories of its files: no weight is read. One set serves any number of plans.
struct PlannedNetworks {
  let encoder: PromptEncoder
  let transformer: HunyuanVideoTransformer
  let decoder: VideoDecoder
  /// Parameters in the order of use.
  let encoderWeights: [Weight]
  let transformerWeights: [Weight]
  let decoderWeights: [Weight]

  init(_ model: ModelFolder, on backend: any Backend) throws {
    let taken = Mutex<[Weight]>([])
    let adopt: WeightAdoption = { weight in
      let adopted = try backend.adopt(weight)
      taken.withLock { $0.append(adopted) }
      return adopted
    }
    func order() -> [Weight] {
      taken.withLock { taken in
        defer { taken = [] }
        return taken
      }
    }
    encoder = try PromptEncoder(model, in: ForwardContext(backend: backend), adopt: adopt)
    encoderWeights = order()
    let transformerFile = try model.transformerNetwork()
    let scope = transformerFile.scope(adopt: adopt)
    transformer = try HunyuanVideoTransformer(scope, configuration: transformerFile.transformerConfiguration())
    try scope.finish()
    transformerWeights = order()
    let decoderFile = try model.autoencoderNetwork()
    let scope2 = decoderFile.scope(adopt: adopt)
    decoder = try VideoDecoder(scope2, configuration: decoderFile.autoencoderConfiguration())
    try scope2.finish()
    decoderWeights = order()
  }
}
