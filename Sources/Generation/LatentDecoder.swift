import Checkpoints
public import Collectives
import HunyuanVideo
import Layers
public import TensorCore
import TensorOps

/// Receives the frames of a video in order.
public protocol FrameSink: AnyObject {
  /// `[1, 3, f, H, W]` float32 in 0…1, contiguous in host memory.
  func append(_ frames: Tensor) throws
}

/// From latents to frames, the last stages of a pipeline. Of a checkpoint they need the autoencoder alone.
public final class LatentDecoder {
  private let open: () throws(CheckpointError) -> PublishedNetwork
  private let adopt: WeightAdoption
  private let stages: PipelineStages
  private var network: VideoDecoder?

  private var context: ForwardContext { stages.contexts.autoencoder }

  /// - Parameters:
  ///   - open: gives the autoencoder's weights.
  ///   - adopt: what the device does with each.
  init(
    open: @escaping () throws(CheckpointError) -> PublishedNetwork, adopt: @escaping WeightAdoption,
    stages: PipelineStages
  ) {
    (self.open, self.adopt, self.stages) = (open, adopt, stages)
  }

  /// Decodes on this rank alone, with all weights in memory.
  public convenience init(
    _ model: AutoencoderFolder, in contexts: StageContexts, observer: any GenerationObserver
  ) {
    let backend = contexts.autoencoder.backend
    self.init(
      open: model.network, adopt: { try backend.adopt($0) },
      stages: PipelineStages(contexts: contexts, observer: observer) { $0 == "vae" ? try? model.network() : nil })
  }

  /// Builds the network from its file once, so that a missing, extra or misshapen tensor is found before anything is computed.
  public func verify() throws { _ = try build { $0 } }

  /// Checks, before any work, that latents are such as this checkpoint's decoder takes.
  /// - Returns: the frames' size in pixels.
  public func checkLatents(_ latents: Tensor, named file: String) throws -> (height: Int, width: Int) {
    let configuration = try open().autoencoderConfiguration()
    let shape = latents.shape
    let fits = shape.rank == 5 && shape[0] == 1 && shape[1] == configuration.latentChannels && shape.count > 0
    if latents.dtype != .float32 || !fits {
      throw RequestError(
        "wrong latents", at: file, expected: "float32[1, \(configuration.latentChannels), F, H, W]",
        found: "\(latents)",
        remedy: "give latents that this checkpoint made")
    }
    if try !context.backend.isFinite(context.backend.upload(latents)) {
      throw RequestError(
        "latents are not numbers", at: file, expected: "finite values", found: "NaN or infinity",
        remedy: "make them again")
    }
    return (shape[3] * configuration.spatialCompression, shape[4] * configuration.spatialCompression)
  }

  /// Decodes latents; frames are mapped to 0…1 and clamped. Only the first rank's sink is given frames.
  /// - Parameter group: the ranks that decode tiles; all of them call this.
  public func decode(
    _ latents: Tensor, tiling: Bool, group: any ProcessGroup = SingleProcessGroup(), into sink: any FrameSink
  ) throws {
    let tiled = TiledDecoder(try loaded(), tiling: tiling, in: context, group: group)
    try stages(.decode, units: tiled.tileCount(for: latents.shape)) { [observer = stages.observer] in
      try tiled.decode(latents, tileDone: { observer.stageDidAdvance(.decode) }) { frames in
        try observer.checkInterruption()
        try sink.append(Self.pixels(frames))
      }
    }
  }

  /// The network, loaded where it is not.
  func loaded() throws -> VideoDecoder {
    if let network { return network }
    let loaded = try stages(.loadDecoder) { try build(adopt) }
    network = loaded
    return loaded
  }

  /// Gives the weights back.
  func unload() { network = nil }

  func build(_ adopt: @escaping WeightAdoption) throws -> VideoDecoder {
    let published = try open()
    let scope = published.scope(adopt: adopt)
    let network = try VideoDecoder(scope, configuration: published.autoencoderConfiguration())
    try scope.finish()
    return network
  }

  /// `clamp(x / 2 + 0.5, 0, 1)`
  private static func pixels(_ raw: Tensor) -> Tensor {
    let result = Tensor(uninitialized: raw.shape)
    let count = raw.count
    let input = raw.hostPointer.assumingMemoryBound(to: Float.self)
    let output = result.mutableHostPointer.assumingMemoryBound(to: Float.self)
    for index in 0..<count { output[index] = min(max(input[index] * 0.5 + 0.5, 0), 1) }
    return result
  }
}
