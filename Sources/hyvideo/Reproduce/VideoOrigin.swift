import Checkpoints
import Foundation
import Generation
import StrictJSON
import VideoIO

/// What a video says of how it was made: the metadata of a file, `metadata.json` in a folder of frames.
struct VideoOrigin {
  /// The name in a folder of frames.
  static let fileName = "metadata.json"

  let path: String
  let prompt: String
  let seed: UInt64
  let checkpointSHA256: String
  /// The program and version.
  let generator: String
  /// How a file was encoded; nil where it does not say, and for frames, which lose nothing.
  let encoding: String?
  /// Whether it is a folder of frames.
  let isFolder: Bool
  private let settings: JSONValue

  /// - Throws: `RequestError` where the video says too little.
  init(path: String, ffmpeg: FFmpeg) throws {
    self.path = path
    let values = try Self.metadata(of: path, ffmpeg: ffmpeg)
    func value(_ name: String) throws -> String {
      if let value = values[name], !value.isEmpty { return value }
      throw RequestError(
        "no settings", at: path, expected: "a video made by hyvideo generate, with \(name) in its metadata",
        found: values.isEmpty ? "no metadata" : values.keys.sorted().prefix(12).joined(separator: ", "),
        remedy: "give the file as it was made: other programs drop metadata when they copy a video")
    }
    prompt = try value("prompt")
    generator = try value("generator")
    isFolder = FileSystemEntry.isFolder(path)
    encoding = isFolder ? nil : values[VideoWriter.encodingKey]
    checkpointSHA256 = try value("checkpoint_sha256")
    let seedText = try value("seed")
    guard let seed = UInt64(seedText) else {
      throw RequestError(
        "damaged settings", at: "\(path): seed", expected: "a number", found: "\"\(seedText.oneLine)\"",
        remedy: "give the file as it was made")
    }
    self.seed = seed
    let text = try value("settings")
    settings = try WrittenFile.origin.reading("\(path): settings") {
      try JSONValue(bytes: Array(text.utf8), file: $0)
    }
  }

  private static func metadata(of path: String, ffmpeg: FFmpeg) throws -> [String: String] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      return try VideoReader(path: path, ffmpeg: ffmpeg).metadata()
    }
    let file = "\(path)/\(fileName)"
    guard FileManager.default.fileExists(atPath: file) else { return [:] }
    let value = try WrittenFile.origin.reading(file) { try JSONValue(contentsOf: $0) }
    return (value.object ?? [:]).compactMapValues(\.string)
  }

  /// Of the noise that was given instead of the seed's.
  var initialNoiseSHA256: String? { settings["initial_noise_sha256"].string }

  /// How many ranks made the video.
  var ranks: Int {
    let degrees = ["ulysses_degree", "ring_degree"].map { max(1, settings[$0].int ?? 1) }
    let (product, isTooMuch) = degrees[0].multipliedReportingOverflow(by: degrees[1])
    return isTooMuch ? .max : product
  }

  /// Those that were asked for.
  var threads: Int? { settings["threads"].int }

  /// The last component of the checkpoint's folder.
  var modelName: String? { settings["model"].string }

  /// The flags of `generate` that define the video, without those that say where things are.
  func flags() throws -> [String] {
    /// A value that begins with a dash would be taken for a flag.
    func words(_ flag: String, _ value: String) -> [String] {
      value.hasPrefix("-") ? ["\(flag)=\(value)"] : [flag, value]
    }
    func text(_ name: String, _ flag: String) { flags += settings[name].string.map { words(flag, $0) } ?? [] }
    var flags = words("--prompt", prompt) + ["--seed", "\(seed)"]
    func number(_ name: String, _ flag: String?) throws {
      guard settings[name].double != nil else {
        throw RequestError(
          "damaged settings", at: "\(path): settings", expected: "a number named \(name)",
          found: settings[name].summary,
          remedy: "give the file as it was made")
      }
      flags += (flag.map { [$0] } ?? []) + [settings[name].summary]
    }
    text("negative_prompt", "--neg-prompt")
    try number("height", "--video-size")
    try number("width", nil)
    try number("frames", "--video-length")
    try number("frames_per_second", "--fps")
    try number("steps", "--infer-steps")
    try number("cfg_scale", "--cfg-scale")
    try number("embedded_guidance", "--embedded-cfg-scale")
    try number("flow_shift", "--flow-shift")
    if let reverse = settings["flow_reverse"].bool { flags.append(reverse ? "--flow-reverse" : "--no-flow-reverse") }
    if let tiling = settings["vae_tiling"].bool { flags.append(tiling ? "--vae-tiling" : "--no-vae-tiling") }
    text("device", "--device")
    for part in ["precision", "text_encoder_precision", "vae_precision"] {
      text(part, "--" + part.replacing("_", with: "-"))
    }
    if let cache = settings["cache"].string, cache != "none" {
      flags += words("--cache", cache)
      for (key, value) in (settings["cache_options"].object ?? [:]).sorted(by: { $0.key < $1.key }) {
        flags += words("--cache-option", "\(key)=\(value.string ?? value.summary)")
      }
    }
    text("load_key", "--load-key")
    return flags
  }

  /// Writes what a folder of frames says of itself.
  static func write(_ metadata: [String: String], toFolder folder: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try FileSystem.write([UInt8](encoder.encode(metadata)), to: FileSystem.join(folder, fileName))
  }
}
