import Foundation
public import HunyuanVideo

/// What any run of a request holds on the host, by arithmetic alone: far less than it needs, and known at once where a plan would walk
/// over millions of tiles.
public struct LeastMemory {
  private let transformer: TransformerConfiguration
  private let autoencoder: AutoencoderConfiguration

  public init(_ transformer: TransformerConfiguration, _ autoencoder: AutoencoderConfiguration) {
    (self.transformer, self.autoencoder) = (transformer, autoencoder)
  }

  /// - Parameters:
  ///   - ranks: how many share a sample.
  ///   - computesOnHost: whether activations are in the host's memory.
  /// - Returns: bytes, and the stage that holds them.
  public func ofHost(
    _ request: GenerationRequest, ranks: Int = 1, computesOnHost: Bool = true
  ) -> (bytes: Int, stage: GenerationStage) {
    let frames = (request.frames - 1) / autoencoder.timeCompression + 1
    let sides = [request.roundedHeight, request.roundedWidth].map { $0 / autoencoder.spatialCompression }
    let positions = Double(frames) * Double(sides[0]) * Double(sides[1])
    let latents = 4 * positions * Double(autoencoder.latentChannels)
    // The noise and the latents; of activations the tokens and what a block makes of them first, in two bytes each.
    let tokens = positions / Double(transformer.patchVolume) / Double(max(ranks, 1))
    let denoising = 2 * latents + (computesOnHost ? 2 * 2 * tokens * Double(transformer.hiddenSize) : 0)
    // The frames that are handed over first, as the decoder and as the encoder has them.
    let time = TilePlan(autoencoder).time
    let first = request.vaeTiling && frames > time.limit ? min(time.kept + 1, request.frames) : request.frames
    let pixels = Double(first) * Double(request.roundedHeight) * Double(request.roundedWidth)
    let decoding = latents + 2 * 4 * Double(autoencoder.outputChannels) * pixels
    return decoding > denoising ? (Self.bytes(decoding), .decode) : (Self.bytes(denoising), .denoise)
  }

  /// How many tiles the video is decoded in.
  public func tileCount(_ request: GenerationRequest) -> Int {
    if !request.vaeTiling { return 1 }
    return TilePlan(autoencoder).tileCount(
      frames: (request.frames - 1) / autoencoder.timeCompression + 1,
      height: request.roundedHeight / autoencoder.spatialCompression,
      width: request.roundedWidth / autoencoder.spatialCompression)
  }

  private static func bytes(_ value: Double) -> Int { value < 0x1p62 ? Int(value) : 1 << 62 }
}
