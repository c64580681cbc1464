import Foundation
public import TensorCore

/// How close a video is to another: peak signal-to-noise ratio and structural similarity, per frame and overall.
public struct VideoComparison: Sendable {
  /// What equal frames count as, in place of infinity.
  public static let highestPSNR = 100.0

  public struct Frame: Sendable, Encodable {
    /// `10 log₁₀(1 / mean squared error)` of values in 0…1, at most `highestPSNR`.
    public let psnrDB: Double
    public let ssim: Double

    enum CodingKeys: String, CodingKey {
      case psnrDB = "psnr_db"
      case ssim
    }
  }

  public private(set) var frames: [Frame] = []
  private var squaredErrors: [Double] = []
  private let width: Int
  private let height: Int

  /// - Throws: `RequestError` where a frame is smaller than the similarity's window.
  public init(width: Int, height: Int) throws(RequestError) {
    if min(width, height) < StructuralSimilarity.windowSize {
      throw RequestError(
        "frames too small to compare", at: VideoSize.text(height: height, width: width),
        expected: "at least \(StructuralSimilarity.windowSize) pixels in height and width", found: "fewer",
        remedy: "compare the latents instead")
    }
    self.width = width
    self.height = height
  }

  /// Takes the next frame of both: three planes red, green, blue of `height · width` values in 0…1.
  public mutating func add(_ x: [[Float]], _ y: [[Float]]) {
    precondition(x.count == 3 && y.count == 3, "comparison: \(x.count) and \(y.count) planes")
    var (error, similarity) = (0.0, 0.0)
    for (a, b) in zip(x, y) {
      error += zip(a, b).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) } / Double(a.count) / 3
      similarity += StructuralSimilarity.mean(a, b, height: height, width: width) / 3
    }
    squaredErrors.append(error)
    frames.append(Frame(psnrDB: Self.decibels(error), ssim: similarity))
  }

  /// Of the squared error over all frames.
  public var psnrDB: Double { Self.decibels(squaredErrors.reduce(0, +) / Double(max(1, frames.count))) }

  /// The mean over frames.
  public var ssim: Double { frames.reduce(0) { $0 + $1.ssim } / Double(max(1, frames.count)) }

  private static func decibels(_ error: Double) -> Double {
    error > 0 ? min(highestPSNR, -10 * log10(error)) : highestPSNR
  }

  /// Compares decoded videos `[1, 3, F, H, W]` in 0…1.
  /// - Throws: `RequestError` for different shapes, or ones that are no video.
  public init(_ x: Tensor, _ y: Tensor) throws(RequestError) {
    guard x.shape == y.shape, x.shape.rank == 5, x.shape[0] == 1, x.shape[1] == 3, x.count > 0 else {
      throw RequestError(
        "videos do not match", at: "video", expected: "two videos [1, 3, F, H, W] of one shape",
        found: "\(x.shape) and \(y.shape)", remedy: "compare videos of one size and length")
    }
    try self.init(width: x.shape[4], height: x.shape[3])
    for frame in 0..<x.shape[2] {
      func planes(_ video: Tensor) -> [[Float]] {
        (0..<3).map { video.select(0, 0).select(0, $0).select(0, frame).floats() }
      }
      add(planes(x), planes(y))
    }
  }
}

/// `‖x − y‖ / ‖y‖`, of tensors of one shape.
public func relativeDifference(_ x: Tensor, _ y: Tensor) -> Double {
  precondition(x.shape == y.shape, "relative difference: \(x) and \(y)")
  var (difference, norm) = (0.0, 0.0)
  for (a, b) in zip(x.floats(), y.floats()) {
    difference += Double(a - b) * Double(a - b)
    norm += Double(b) * Double(b)
  }
  return norm > 0 ? (difference / norm).squareRoot() : (difference > 0 ? .infinity : 0)
}
