import Checkpoints
import HunyuanVideo
import TensorTesting

/// Networks small enough to run hundreds of times. Their three heads are fewer than most numbers of ranks.
enum TinyTransformer: Sendable {
  /// The network of the goldens: two double-stream and three single-stream blocks.
  case golden
  /// One block of each kind with random weights, for latents of four channels.
  case smallest

  var configuration: TransformerConfiguration {
    get throws { try loaded.get().configuration }
  }

  var network: HunyuanVideoTransformer {
    get throws { try loaded.get() }
  }

  private var loaded: Result<HunyuanVideoTransformer, any Error> {
    switch self {
    case .golden: Self.goldenNetwork
    case .smallest: Self.smallestNetwork
    }
  }

  private static let goldenNetwork = Result {
    let folder = Goldens.path("transformer/guidance")
    return try HunyuanVideoTransformer(
      WeightScope(Checkpoint(path: folder + "/weights.safetensors")),
      configuration: TransformerConfiguration(ConfigurationReader(contentsOf: folder + "/config.json")))
  }

  private static let smallestNetwork = Result {
    var c = TransformerConfiguration()
    (c.hiddenSize, c.headCount, c.rotaryDimensions) = (24, 3, [4, 2, 2])
    (c.doubleBlockCount, c.singleBlockCount, c.refinerBlockCount) = (1, 1, 1)
    (c.inputChannels, c.outputChannels) = (4, 4)
    (c.mlpRatio, c.textChannels, c.pooledTextChannels) = (1, 16, 8)
    var weights = RandomCheckpoint(seed: 3)
    for parameter in c.parameters { weights.add(parameter.name, shape: parameter.shape) }
    return try HunyuanVideoTransformer(WeightScope(weights.checkpoint), configuration: c)
  }
}
