import Checkpoints
public import Tokenizers

/// What a checkpoint wants where the command line says nothing: `model.json`'s values, else HunyuanVideo's.
public struct ModelDefaults: Sendable {
  public var height = 720
  public var width = 1280
  public var frames = 129
  public var framesPerSecond = 24
  public var steps = 50
  public var flowShift: Float = 7
  /// The scheduler's configuration that says so; nil for `model.json`'s value and HunyuanVideo's.
  public var flowShiftSource: String?
  public var flowReverse = true
  public var embeddedGuidance: Float = 6
  public var cfgScale: Float = 1
  public var negativePrompt = PromptTemplate.defaultNegativePrompt
  /// Text tokens of a prompt that the transformer is given at most, for videos.
  public var promptTokens = 256
  public var skippedLayers = 2
  public var appliesFinalNorm = false
  public var videoTemplate = PromptTemplate.video
  public var imageTemplate = PromptTemplate.image

  /// Tokens of the templates that are cut off, where a description says how many it takes them for.
  var statedPrefixes: (video: Int?, image: Int?)

  public init() {}

  /// - Parameter scheduler: what the folder's release says of the steps, where the description says nothing.
  init(_ reader: ConfigurationReader, scheduler: SchedulerSettings?) throws {
    if let scheduler { take(scheduler) }
    height = try reader.positiveInt("height", default: height)
    width = try reader.positiveInt("width", default: width)
    frames = try reader.positiveInt("frames", default: frames)
    framesPerSecond = try reader.positiveInt("fps", default: framesPerSecond)
    steps = try reader.positiveInt("steps", default: steps)
    flowShift = Float(try reader.positiveDouble("flow_shift", default: Double(flowShift)))
    if reader.has("flow_shift") { flowShiftSource = nil }
    flowReverse = try reader.bool("flow_reverse", default: flowReverse)
    embeddedGuidance = Float(try reader.positiveDouble("embedded_guidance", default: Double(embeddedGuidance)))
    cfgScale = Float(try reader.positiveDouble("cfg_scale", default: Double(cfgScale)))
    negativePrompt = try reader.string("negative_prompt", default: negativePrompt)
    promptTokens = try reader.positiveInt("max_prompt_tokens", default: promptTokens)
    skippedLayers = try reader.int("hidden_state_skip_layer", default: skippedLayers)
    try reader.require(
      "hidden_state_skip_layer", (0...ConfigurationReader.largestSize).contains(skippedLayers), "0 or more",
      "\(skippedLayers)")
    appliesFinalNorm = try reader.bool("apply_final_norm", default: appliesFinalNorm)
    videoTemplate = try PromptTemplate(
      name: "\(reader.file): template", text: reader.string("template", default: videoTemplate.text))
    imageTemplate = try PromptTemplate(
      name: "\(reader.file): template_image", text: reader.string("template_image", default: imageTemplate.text))
    statedPrefixes.video = reader.has("crop_start") ? try reader.positiveInt("crop_start") : nil
    statedPrefixes.image = reader.has("crop_start_image") ? try reader.positiveInt("crop_start_image") : nil
    try reader.finish()
  }

  /// Takes what a release says of its steps.
  mutating func take(_ scheduler: SchedulerSettings) {
    if let shift = scheduler.shift { (flowShift, flowShiftSource) = (shift, scheduler.file) }
    flowReverse = scheduler.reverse ?? flowReverse
  }
}
