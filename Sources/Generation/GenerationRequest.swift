public import TensorCore

/// Everything that defines a video beside the checkpoint.
public struct GenerationRequest: Sendable {
  public var prompt: String
  /// Used where `cfgScale` is above 1.
  public var negativePrompt: String
  /// Pixels. Sizes are rounded up to multiples of 16 as the reference does.
  public var height: Int
  public var width: Int
  /// `4n + 1`; 1 makes a picture.
  public var frames: Int
  public var steps: Int
  public var seed: UInt64
  /// True classifier-free guidance: above 1 the network also runs on the negative prompt.
  public var cfgScale: Float
  /// The guidance scale that a distilled network takes as an input.
  public var embeddedGuidance: Float
  public var flowShift: Float
  public var flowReverse: Bool
  public var vaeTiling: Bool
  /// What stands for the blocks on steps that are not computed.
  public var cache = StepCacheSettings.none
  /// Noise to start from instead of the seed's, `[1, C, F', H/8, W/8]` in host memory.
  public var initialNoise: Tensor?

  public init(prompt: String, seed: UInt64, defaults: ModelDefaults) {
    self.prompt = prompt
    self.seed = seed
    negativePrompt = defaults.negativePrompt
    height = defaults.height
    width = defaults.width
    frames = defaults.frames
    steps = defaults.steps
    cfgScale = defaults.cfgScale
    embeddedGuidance = defaults.embeddedGuidance
    flowShift = defaults.flowShift
    flowReverse = defaults.flowReverse
    vaeTiling = true
  }

  /// Pixels after rounding up.
  public var roundedHeight: Int { GenerationRequest.rounded(height) }
  public var roundedWidth: Int { GenerationRequest.rounded(width) }

  /// Whether true guidance is on.
  public var usesGuidance: Bool { cfgScale > 1 }

  private static func rounded(_ pixels: Int) -> Int { (pixels + 15) / 16 * 16 }

  /// The most float32 values that a video may have: 4 TiB of pixels, far above any machine and below any overflow.
  private static let pixelLimit = 1 << 40

  /// Checks everything that can be checked without the checkpoint.
  public func validate() throws(RequestError) {
    func require(
      _ holds: Bool, _ what: String, _ flag: String, _ expected: String, _ found: String, _ remedy: String
    ) throws(RequestError) {
      if !holds { throw RequestError(what, at: flag, expected: expected, found: found, remedy: remedy) }
    }
    try require(
      prompt.contains { !$0.isWhitespace }, "empty prompt", "--prompt", "a description of the video", "\"\(prompt)\"",
      "say what the video shows, for example --prompt \"A cat walks on the grass, realistic style.\"")
    for (name, value) in [("height", height), ("width", width)] {
      try require(
        value > 0 && value <= 1 << 30, "invalid \(name)", "--video-size", "1 to \(1 << 30) pixels", "\(value)",
        "give height and width, for example --video-size 720 1280")
    }
    try require(
      frames > 0 && frames <= 1 << 30, "invalid length", "--video-length", "4n+1 frames from 1 to \(1 << 30)",
      "\(frames)", "for example --video-length 129")
    let below = (frames - 1) / 4 * 4 + 1
    try require(
      frames % 4 == 1, "invalid length", "--video-length", "4n+1 frames", "\(frames)",
      "the nearest are \(below) and \(below + 4)")
    let pixels = Shape.elementCount(of: [3, frames, roundedHeight, roundedWidth])
    try require(
      (pixels ?? .max) <= GenerationRequest.pixelLimit, "video too large", "--video-size, --video-length",
      "at most \(GenerationRequest.pixelLimit / 3) pixels",
      VideoSize.text(frames: frames, height: height, width: width),
      "choose a smaller size or fewer frames")
    try require(
      (1...10_000).contains(steps), "invalid step count", "--infer-steps", "1 to 10000", "\(steps)",
      "50 is usual, 30 for the demo checkpoint")
    for (flag, value) in [
      ("--cfg-scale", cfgScale), ("--embedded-cfg-scale", embeddedGuidance), ("--flow-shift", flowShift),
    ] {
      try require(
        value.isFinite && value >= 0 && (flag != "--flow-shift" || value > 0), "invalid number", flag,
        flag == "--flow-shift" ? "a number above 0" : "a number of at least 0", "\(value)",
        "see hyvideo generate --help")
    }
  }
}
