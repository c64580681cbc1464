import Checkpoints
import Generation

/// A kind of file that runs write and read. Nobody has downloaded it, so that no download can mend it.
struct WrittenFile {
  /// What should be there.
  let noun: String
  /// What to do where it is not.
  let remedy: String

  static let run = WrittenFile(
    noun: "a run saved by hyvideo generate", remedy: "give a NAME.run.safetensors as it was left, or start the run anew"
  )
  static let latents = WrittenFile(
    noun: "a file with a tensor named latents", remedy: "give a file of generate --save-latents or NAME.run.safetensors"
  )
  static let noise = WrittenFile(
    noun: "a file with a tensor named latents", remedy: "check --initial-noise, or make the file again")
  static let tensors = WrittenFile(
    noun: "a file of tensors", remedy: "give a file as hyvideo generate --save-latents or --save-frames wrote it")
  static let report = WrittenFile(
    noun: "a file of hyvideo generate --report", remedy: "give the file as generate --report wrote it")
  static let profile = WrittenFile(
    noun: "a trace of hyvideo generate --profile", remedy: "give the file as generate --profile wrote it")
  static let origin = WrittenFile(
    noun: "the settings of a video", remedy: "give the video as it was made")

  /// Reads a file; errors of readers that take it for a part of a checkpoint get words that fit.
  func reading<Result>(_ path: String, _ read: (String) throws -> Result) throws -> Result {
    do { return try read(path) } catch let error as CheckpointError {
      switch error {
      case .malformed(let file, let place, let expected, let found):
        throw RequestError(
          "damaged or wrong file", at: "\(file): \(place)", expected: expected, found: found, remedy: remedy)
      case .missingFile(let path, _):
        throw RequestError(
          "missing file", at: path, expected: noun, found: FileSystem.isFolder(path) ? "a folder" : "none",
          remedy: remedy)
      case .unsupportedFormat(let file, let found, _):
        throw RequestError("another file", at: file, expected: noun, found: found, remedy: remedy)
      default: throw error
      }
    }
  }
}
