import Checkpoints
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
    /// True guidance; 1 is none.
    public var cfgScale: Float
    /// What the second pass of a step is made on; nil without true guidance.
    public var negativePrompt: String?
    public var prompts: [String]
    public var seed: UInt64

    enum CodingKeys: String, CodingKey {
      case version, height, width, frames, steps, prompts, seed
      case checkpointSHA256 = "checkpoint_sha256"
      case flowShift = "flow_shift"
      case embeddedGuidance = "embedded_guidance"
      case cfgScale = "cfg_scale"
      case negativePrompt = "negative_prompt"
    }

    public init(request: GenerationRequest, version: String, checkpointSHA256: String, prompts: [String]) {
      self.version = version
      self.checkpointSHA256 = checkpointSHA256
      (height, width, frames) = (request.roundedHeight, request.roundedWidth, request.frames)
      (steps, flowShift) = (request.steps, request.flowShift)
      (embeddedGuidance, cfgScale) = (request.embeddedGuidance, request.cfgScale)
      negativePrompt = request.usesGuidance ? request.negativePrompt : nil
      self.prompts = prompts
      seed = request.seed
    }
  }

  /// One rule with parameters, measured against the full run.
  public struct Point: Sendable, Hashable, Codable {
    public var method: String
    public var options: [String: String]
    /// The mean over the prompts. With true guidance a step that one of its two passes skips counts as half.
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
  public var points: [Point]
  /// For the pass on the prompt.
  public var positive: StepCacheFit
  /// For the pass on the negative prompt, with true guidance.
  public var negative: StepCacheFit?

  public init(provenance: Provenance, positive: StepCacheFit, negative: StepCacheFit? = nil, points: [Point] = []) {
    self.provenance = provenance
    (self.positive, self.negative) = (positive, negative)
    self.points = points
  }

  /// What is fitted, by branch.
  public var fitted: [GuidanceBranch: StepCacheFit] {
    var fitted = [GuidanceBranch.positive: positive]
    fitted[.negative] = negative
    return fitted
  }

  /// What a request has otherwise than the videos that were measured: the flag, what was measured, what is asked for.
  public func differences(from request: GenerationRequest) -> [(flag: String, measured: String, asked: String)] {
    let p = provenance
    let pairs = [
      ("--video-size", "\(p.height) \(p.width)", "\(request.roundedHeight) \(request.roundedWidth)"),
      ("--video-length", "\(p.frames)", "\(request.frames)"), ("--infer-steps", "\(p.steps)", "\(request.steps)"),
      ("--flow-shift", "\(p.flowShift)", "\(request.flowShift)"),
      ("--embedded-cfg-scale", "\(p.embeddedGuidance)", "\(request.embeddedGuidance)"),
      ("--cfg-scale", "\(p.cfgScale)", "\(request.cfgScale)"),
    ]
    return pairs.filter { $0.1 != $0.2 }.map { (flag: $0.0, measured: $0.1, asked: $0.2) }
  }

  /// The point that computes the fewest steps among those whose worst prompt stayed at or above `decibels`.
  public func point(above decibels: Double) -> Point? {
    points.filter { $0.lowestPSNR >= decibels }
      .min { ($0.stepsComputed, -$0.lowestPSNR) < ($1.stepsComputed, -$1.lowestPSNR) }
  }

  // MARK: Files

  private enum CodingKeys: String, CodingKey {
    case provenance, points, negative
  }

  /// The fit of the pass on the prompt stands at the top, that on the negative prompt under `negative`.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    provenance = try container.decode(Provenance.self, forKey: .provenance)
    points = try container.decode([Point].self, forKey: .points)
    positive = try StepCacheFit(from: decoder)
    negative = try container.decodeIfPresent(StepCacheFit.self, forKey: .negative)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(provenance, forKey: .provenance)
    try container.encode(points, forKey: .points)
    try container.encodeIfPresent(negative, forKey: .negative)
    try positive.encode(to: encoder)
  }

  /// The largest file that is read.
  private static let byteLimit = 4 << 20

  /// The file's name for what a request asks of a checkpoint.
  public static func fileName(_ request: GenerationRequest, checkpointSHA256: String) -> String {
    let size = "\(request.roundedHeight)x\(request.roundedWidth)x\(request.frames)"
    return "\(checkpointSHA256.prefix(16))_\(size)_\(request.steps)steps_shift\(request.flowShift)"
      + (request.usesGuidance ? "_cfg\(request.cfgScale)" : "") + ".json"
  }

  /// Reads a calibration.
  /// - Returns: nil where there is no such file.
  /// - Throws: `RequestError` for a file that is no calibration.
  public init?(contentsOf path: String) throws(RequestError) {
    guard let size = (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int else { return nil }
    guard size <= Self.byteLimit, let data = FileManager.default.contents(atPath: path),
      let value = try? JSONDecoder().decode(Self.self, from: data),
      value.fitted.values.allSatisfy(\.isUsable)
    else {
      throw RequestError(
        "unreadable calibration", at: path, expected: "a file of hyvideo calibrate", found: "something else",
        remedy: "remove it and run hyvideo calibrate")
    }
    self = value
  }

  /// Writes the file, to a temporary name first, and makes its folder.
  public func write(to path: String) throws {
    try FileSystem.makeFolder(FileSystem.folder(of: path))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try FileSystem.write([UInt8](encoder.encode(self)), to: path)
  }
}
