import Foundation

/// What was measured of a checkpoint for the cache rules, and where the numbers come from.
public struct StepCacheCalibration: Sendable, Hashable, Codable {
  /// What the numbers hold for.
  public struct Provenance: Sendable, Hashable, Codable {
    public var version: String
    public var checkpointSHA256: String
    public var height: Int
    public var width: Int
    public var frames: Int
    public var steps: Int
    public var flowShift: Float
    public var embeddedGuidance: Float
    public var prompts: [String]
    public var seed: UInt64

    enum CodingKeys: String, CodingKey {
      case version, height, width, frames, steps, prompts, seed
      case checkpointSHA256 = "checkpoint_sha256"
      case flowShift = "flow_shift"
      case embeddedGuidance = "embedded_guidance"
    }

    public init(request: GenerationRequest, version: String, checkpointSHA256: String, prompts: [String]) {
      self.version = version
      self.checkpointSHA256 = checkpointSHA256
      (height, width, frames) = (request.roundedHeight, request.roundedWidth, request.frames)
      (steps, flowShift) = (request.steps, request.flowShift)
      embeddedGuidance = request.embeddedGuidance
      self.prompts = prompts
      seed = request.seed
    }
  }

  /// One rule with parameters, measured against the full run.
  public struct Point: Sendable, Hashable, Codable {
    public var method: String
    public var options: [String: String]
    /// The mean over the prompts.
    public var stepsComputed: Double
    /// Transformer seconds of the full runs over those with the rule.
    public var speedup: Double
    /// Of the prompts: the worst and the middle one.
    public var lowestPSNR: Double
    public var medianPSNR: Double
    /// The middle one.
    public var ssim: Double

    enum CodingKeys: String, CodingKey {
      case method, options, speedup, ssim
      case stepsComputed = "steps_computed"
      case lowestPSNR = "lowest_psnr_db"
      case medianPSNR = "median_psnr_db"
    }

    public init(
      method: String, options: [String: String], stepsComputed: Double, speedup: Double, psnr: [Double], ssim: [Double]
    ) {
      precondition(!psnr.isEmpty && !ssim.isEmpty, "calibration: a point without prompts")
      self.method = method
      self.options = options
      self.stepsComputed = stepsComputed
      self.speedup = speedup
      lowestPSNR = psnr.reduce(psnr[0], min)
      medianPSNR = psnr.sorted()[psnr.count / 2]
      self.ssim = ssim.sorted()[ssim.count / 2]
    }
  }

  public var provenance: Provenance
  /// TeaCache's polynomial, highest power first.
  public var teaCacheCoefficients: [Double]
  /// MagCache's ratios, one per step.
  public var magnitudeRatios: [Double]
  public var points: [Point]

  enum CodingKeys: String, CodingKey {
    case provenance, points
    case teaCacheCoefficients = "teacache_coefficients"
    case magnitudeRatios = "magnitude_ratios"
  }

  public init(
    provenance: Provenance, teaCacheCoefficients: [Double], magnitudeRatios: [Double], points: [Point] = []
  ) {
    self.provenance = provenance
    self.teaCacheCoefficients = teaCacheCoefficients
    self.magnitudeRatios = magnitudeRatios
    self.points = points
  }

  /// The point that computes the fewest steps among those whose worst prompt stayed at or above `decibels`.
  public func point(above decibels: Double) -> Point? {
    points.filter { $0.lowestPSNR >= decibels }
      .min { ($0.stepsComputed, -$0.lowestPSNR) < ($1.stepsComputed, -$1.lowestPSNR) }
  }

  // MARK: Files

  /// The largest file that is read.
  private static let byteLimit = 4 << 20

  /// The file's name for what a request asks of a checkpoint.
  public static func fileName(_ request: GenerationRequest, checkpointSHA256: String) -> String {
    let size = "\(request.roundedHeight)x\(request.roundedWidth)x\(request.frames)"
    return "\(checkpointSHA256.prefix(16))_\(size)_\(request.steps)steps_shift\(request.flowShift).json"
  }

  /// Reads a calibration.
  /// - Returns: nil where there is no such file.
  /// - Throws: `RequestError` for a file that is no calibration.
  public init?(contentsOf path: String) throws(RequestError) {
    guard let size = (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int else { return nil }
    guard size <= Self.byteLimit, let data = FileManager.default.contents(atPath: path),
      let value = try? JSONDecoder().decode(Self.self, from: data),
      (1...16).contains(value.teaCacheCoefficients.count), (1...10_000).contains(value.magnitudeRatios.count),
      (value.teaCacheCoefficients + value.magnitudeRatios).allSatisfy(\.isFinite)
    else {
      throw RequestError(
        "unreadable calibration", at: path, expected: "a file of hyvideo calibrate", found: "something else",
        remedy: "remove it and run hyvideo calibrate")
    }
    self = value
  }

  /// Writes the file, to a temporary name first, and makes its folder.
  public func write(to path: String) throws {
    let folder = (path as NSString).deletingLastPathComponent
    if !folder.isEmpty { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}
