import HunyuanVideo
import Layers
public import TensorCore

/// A linear map from latents to colours, for pictures of a video that is still being made: one pixel per latent position.
/// It is fitted to a decoder by least squares: on what that makes of a part of the video's own latents and, with little weight,
/// of random ones, which keep colours that the video does not have from being arbitrary.
public struct LatentColorMap: Sendable {
  /// For red, green and blue: a factor per latent channel, and a constant.
  let coefficients: [[Double]]
  /// Sums over random latents.
  private let moments: [[Double]]

  /// Random pictures to decode, and their extent in latents.
  private static let (samples, extent) = (6, 16)
  /// The weight of a video's own latents beside the random ones.
  private static let ownWeight = 50.0
  /// Keeps factors small where channels hardly matter, in shares of the number of positions.
  private static let ridge = 1e-3

  /// The shapes of the random latents that a decoder is fitted on.
  static func randomShapes(_ configuration: AutoencoderConfiguration) -> [Shape] {
    Array(repeating: [1, configuration.latentChannels, 1, extent, extent], count: samples)
  }

  init(_ decoder: VideoDecoder, in context: ForwardContext) throws {
    let channels = decoder.configuration.latentChannels
    let factor = decoder.configuration.spatialCompression
    let tiled = TiledDecoder(decoder, tiling: false, in: context)
    var generator = TorchGenerator(seed: 0)
    var moments = [[Double]](repeating: [Double](repeating: 0, count: channels + 4), count: channels + 1)
    for (sample, shape) in Self.randomShapes(decoder.configuration).enumerated() {
      // Areas of one colour, as videos have them: a decoder makes textures of noise without them.
      let blocks = sample % 2 == 0 ? 4 : 2
      let coarse = generator.normals(shape: [1, channels, 1, blocks, blocks]).floats()
      let fine = generator.normals(shape: [1, channels, 1, Self.extent, Self.extent]).floats()
      let size = Self.extent / blocks
      let values = fine.enumerated().map { index, noise in
        let (x, y) = (index % Self.extent, index / Self.extent % Self.extent)
        let channel = index / (Self.extent * Self.extent)
        return coarse[(channel * blocks + y / size) * blocks + x / size] + 0.2 * noise
      }
      try tiled.decode(Tensor(values, shape: shape)) { frames in
        Self.add(
          latents: values, pixels: frames.floats(), width: Self.extent, factor: factor, channels: channels, weight: 1,
          to: &moments)
      }
    }
    for row in 0..<channels { moments[row][row] += Self.ridge * Double(Self.samples * Self.extent * Self.extent) }
    self.moments = moments
    coefficients = Self.solve(moments)
  }

  private init(moments: [[Double]], coefficients: [[Double]]) {
    (self.moments, self.coefficients) = (moments, coefficients)
  }

  /// The map for a video: the middle of its first and of its last frame are decoded.
  func refined(by latents: Tensor, _ decoder: VideoDecoder, in context: ForwardContext) throws -> LatentColorMap {
    var moments = moments
    let tiled = TiledDecoder(decoder, tiling: false, in: context)
    let (rows, columns) = (Self.middle(latents.shape[3]), Self.middle(latents.shape[4]))
    for frame in Self.frames(latents.shape[2]) {
      let part = latents.slice(2, frame..<frame + 1).slice(3, rows).slice(4, columns)
      let values = part.floats()
      try tiled.decode(Tensor(values, shape: part.shape)) { frames in
        Self.add(
          latents: values, pixels: frames.floats(), width: columns.count,
          factor: decoder.configuration.spatialCompression, channels: latents.shape[1], weight: Self.ownWeight,
          to: &moments)
      }
    }
    return LatentColorMap(moments: self.moments, coefficients: Self.solve(moments))
  }

  /// The first and the last, once where they are the same.
  private static func frames(_ count: Int) -> Set<Int> { [0, count - 1] }

  /// The shapes of the parts of a video's latents that are decoded to refine the map.
  static func partShapes(of latents: Shape) -> [Shape] {
    let part: Shape = [1, latents[1], 1, middle(latents[3]).count, middle(latents[4]).count]
    return Array(repeating: part, count: frames(latents[2]).count)
  }

  /// The middle of an axis, at most two random pictures wide.
  private static func middle(_ count: Int) -> Range<Int> {
    let kept = min(count, 2 * extent)
    return (count - kept) / 2..<(count + kept) / 2
  }

  /// Adds the products of all positions: those of latents with each other and with the mean colour of their pixels.
  private static func add(
    latents: [Float], pixels: [Float], width: Int, factor: Int, channels: Int, weight: Double,
    to moments: inout [[Double]]
  ) {
    let height = latents.count / channels / width
    for y in 0..<height {
      for x in 0..<width {
        var row = (0..<channels).map { Double(latents[($0 * height + y) * width + x]) } + [1]
        for color in 0..<3 {
          var sum = 0.0
          for dy in 0..<factor {
            let start = ((color * height + y) * factor + dy) * width * factor + x * factor
            for dx in 0..<factor { sum += Double(pixels[start + dx]) }
          }
          row.append(sum / Double(factor * factor))
        }
        for first in 0...channels {
          for second in row.indices { moments[first][second] += weight * row[first] * row[second] }
        }
      }
    }
  }

  /// Gauss–Jordan elimination with pivots; the columns after the square are right-hand sides.
  private static func solve(_ system: [[Double]]) -> [[Double]] {
    var rows = system
    let count = rows.count
    for column in 0..<count {
      let pivot = (column..<count).max { abs(rows[$0][column]) < abs(rows[$1][column]) } ?? column
      rows.swapAt(column, pivot)
      let divisor = rows[column][column]
      if divisor == 0 { continue }
      for index in rows[column].indices { rows[column][index] /= divisor }
      for other in 0..<count where other != column {
        let weight = rows[other][column]
        for index in rows[other].indices { rows[other][index] -= weight * rows[column][index] }
      }
    }
    return (0..<3).map { color in rows.map { $0[count + color] } }
  }

  /// A frame of latents `[1, C, F', H, W]` as rows of red, green and blue bytes, one pixel per position.
  public func image(_ latents: Tensor, frame: Int) -> (width: Int, height: Int, rgb: [UInt8]) {
    let (channels, frames, height, width) = (latents.shape[1], latents.shape[2], latents.shape[3], latents.shape[4])
    precondition(channels + 1 == coefficients[0].count && frame < frames, "preview: frame \(frame) of \(latents)")
    let values = latents.hostPointer.assumingMemoryBound(to: Float.self)
    var rgb = [UInt8](repeating: 0, count: height * width * 3)
    for position in 0..<height * width {
      for color in 0..<3 {
        var sum = coefficients[color][channels]
        for channel in 0..<channels {
          sum += coefficients[color][channel] * Double(values[(channel * frames + frame) * height * width + position])
        }
        let level = sum * 127.5 + 127.5
        rgb[position * 3 + color] = level.isFinite ? UInt8(min(max(level, 0), 255)) : 0
      }
    }
    return (width, height, rgb)
  }
}
