import Checkpoints
import Generation
import HunyuanVideo
import TensorCore
import VideoIO

/// Writes what the video will look like, as far as the steps tell: the first, middle and last frame side by side, one pixel
/// per latent position.
final class PreviewWriter {
  private let fit: (Tensor) throws -> LatentColorMap
  private let path: String
  private let interval: Int
  private let sigmas: [Float]
  private var previous: Tensor?

  /// - Parameter fit: gives colours for latents.
  init(fit: @escaping (Tensor) throws -> LatentColorMap, path: String, interval: Int, request: GenerationRequest) {
    (self.fit, self.path, self.interval) = (fit, path, interval)
    sigmas = FlowMatchScheduler(steps: request.steps, shift: request.flowShift, reverse: request.flowReverse).sigmas
  }

  /// - Returns: the picture, where this step has one.
  func latentsDidChange(_ latents: Tensor, step: Int) throws -> (width: Int, height: Int, rgb: [UInt8])? {
    defer { previous = latents }
    guard let previous, step > 0, step % interval == 0 || step == sigmas.count - 1 else { return nil }
    let picture = try strip(of: estimate(previous, latents, step: step))
    let file = PNGImage.encoded(width: picture.width, height: picture.height, rgb: picture.rgb)
    try FileSystem.write(file, to: path)
    return picture
  }

  /// The data where the step's velocity leads: `x - σ v` with `v` from the last two latents.
  private func estimate(_ before: Tensor, _ after: Tensor, step: Int) -> Tensor {
    let (last, size) = (sigmas[step], sigmas[step] - sigmas[step - 1])
    if last == 0 || size == 0 { return after }
    let weight = last / size
    return Tensor(zip(before.floats(), after.floats()).map { $1 - weight * ($1 - $0) }, shape: after.shape)
  }

  private func strip(of latents: Tensor) throws -> (width: Int, height: Int, rgb: [UInt8]) {
    let map = try fit(latents)
    let count = latents.shape[2]
    let images = Set([0, count / 2, count - 1]).sorted().map { map.image(latents, frame: $0) }
    let (width, height) = (images[0].width, images[0].height)
    var rgb: [UInt8] = []
    for row in 0..<height { for image in images { rgb += image.rgb[row * width * 3..<(row + 1) * width * 3] } }
    return (width * images.count, height, rgb)
  }
}
