public import Checkpoints
import Foundation
public import Tokenizers

/// Where the parts of a checkpoint are.
///
/// A folder has Tencent's layout (`hunyuan-video-t2v-720p/transformers`, `hunyuan-video-t2v-720p/vae`, `text_encoder`,
/// `text_encoder_2`), or a `model.json` that names the parts and the defaults.
public struct ModelFolder: Sendable {
  public let root: String
  /// A file, or a folder holding one.
  public let transformer: String
  public let autoencoder: String
  /// Folders with weights, configuration and tokenizer.
  public let textEncoder: String
  public let textEncoder2: String
  public let defaults: ModelDefaults

  /// - Parameter transformerOverride: weights to use instead of the folder's (`--dit-weight`).
  /// - Throws: `RequestError` naming the first part that is missing; `CheckpointError` for a malformed `model.json`.
  public init(_ root: String, transformerOverride: String? = nil) throws {
    try Self.require(root, isFolder: true, part: "checkpoint folder", flag: "--model")
    self.root = root
    let description = root + "/model.json"
    var files: ConfigurationReader?
    var defaults = ModelDefaults()
    if FileManager.default.fileExists(atPath: description) {
      let reader = try ConfigurationReader(contentsOf: description)
      files = try reader.object("files")
      if let values = try reader.object("defaults") { defaults = try ModelDefaults(values) }
    }
    self.defaults = defaults

    let base = "hunyuan-video-t2v-720p"
    func part(_ name: String, default path: String) throws -> String {
      root + "/" + (try files?.string(name, default: path) ?? path)
    }
    transformer = try transformerOverride ?? part("transformer", default: "\(base)/transformers")
    autoencoder = try part("vae", default: "\(base)/vae")
    textEncoder = try part("text_encoder", default: "text_encoder")
    textEncoder2 = try part("text_encoder_2", default: "text_encoder_2")

    try Self.require(
      transformer, part: "transformer weights", flag: transformerOverride == nil ? "--model" : "--dit-weight")
    try Self.require(autoencoder, part: "autoencoder weights", flag: "--model")
    for folder in [textEncoder, textEncoder2] {
      try Self.require(folder, isFolder: true, part: "text encoder folder", flag: "--model")
      try Self.require(folder + "/config.json", part: "text encoder configuration", flag: "--model")
    }
    try Self.require(textEncoder + "/tokenizer.json", part: "tokenizer", flag: "--model")
    if !FileManager.default.fileExists(atPath: textEncoder2 + "/tokenizer.json") {
      try Self.require(textEncoder2 + "/vocab.json", part: "tokenizer", flag: "--model")
      try Self.require(textEncoder2 + "/merges.txt", part: "tokenizer", flag: "--model")
    }
  }

  /// The configuration beside weights: in the folder, or in the folder of the file.
  public static func configuration(beside path: String) throws -> ConfigurationReader {
    var isFolder: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    let folder = isFolder.boolValue ? path : Self.folder(of: path)
    let file = folder + "/config.json"
    try require(file, part: "sizes of the network", flag: path)
    return try ConfigurationReader(contentsOf: file)
  }

  /// The folder that a file is in. (`NSString.deletingLastPathComponent` traps for names of one character.)
  private static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
  }

  private static func require(_ path: String, isFolder: Bool? = nil, part: String, flag: String) throws(RequestError) {
    var foundFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &foundFolder)
    if exists && (isFolder == nil || isFolder == foundFolder.boolValue) { return }
    throw RequestError(
      "missing \(part)", at: path, expected: isFolder == true ? "a folder" : "a file or folder",
      found: exists ? "something else" : "nothing", remedy: "check \(flag); hyvideo inspect shows what a folder holds")
  }
}

/// What a checkpoint wants where the command line says nothing: `model.json`'s values, else HunyuanVideo's.
public struct ModelDefaults: Sendable {
  public var height = 720
  public var width = 1280
  public var frames = 129
  public var framesPerSecond = 24
  public var steps = 50
  public var flowShift: Float = 7
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

  public init() {}

  init(_ reader: ConfigurationReader) throws {
    height = try reader.positiveInt("height", default: height)
    width = try reader.positiveInt("width", default: width)
    frames = try reader.positiveInt("frames", default: frames)
    framesPerSecond = try reader.positiveInt("fps", default: framesPerSecond)
    steps = try reader.positiveInt("steps", default: steps)
    flowShift = Float(try reader.positiveDouble("flow_shift", default: Double(flowShift)))
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
  }
}
