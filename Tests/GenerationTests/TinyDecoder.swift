import Checkpoints
import HunyuanVideo
import TensorTesting

/// Decoders of the goldens, for latents of 16 channels.
enum TinyDecoder: String, Sendable {
  case oneLayer = "one_layer"
  case twoLayers = "two_layers"

  var network: VideoDecoder {
    get throws {
      let folder = Goldens.path("vae/\(rawValue)")
      return try VideoDecoder(
        WeightScope(Checkpoint(path: folder + "/weights.safetensors")),
        configuration: AutoencoderConfiguration(ConfigurationReader(contentsOf: folder + "/config.json")))
    }
  }
}
