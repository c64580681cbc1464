import Foundation
import VideoIO

/// Whether a video and the one that is made again go through the same encoder. Where they do not, their frames may differ although
/// what was computed is the same.
struct EncodingComparison {
  private enum Difference {
    /// The video says nothing: versions that said nothing let the cores decide.
    case unknown(generator: String, found: String)
    case other(expected: String, found: String)
    /// Frames without loss, and frames that went through an encoder.
    case lossless
  }

  private let difference: Difference?

  /// - Parameters:
  ///   - path: where the video goes that is made again: a file, or a folder ending in a slash.
  ///   - ffmpeg: what encodes it.
  init(_ origin: VideoOrigin, madeAs path: String, ffmpeg: FFmpeg) {
    let makesFolder = path.hasSuffix("/")
    if origin.isFolder || makesFolder {
      difference = origin.isFolder == makesFolder ? nil : .lossless
      return
    }
    let here = VideoWriter.encoding(by: ffmpeg)
    switch origin.encoding {
    case here: difference = nil
    case let recorded?: difference = .other(expected: recorded, found: here)
    case nil: difference = .unknown(generator: origin.generator, found: here)
    }
  }

  /// What to say before the work.
  var warnings: [String] {
    switch difference {
    case nil: []
    case .unknown(let generator, let found):
      [
        "the video was encoded by an earlier \(generator), which let the number of cores decide its bits; here it is encoded by "
          + "\(found): frames may differ although what is computed is the same"
      ]
    case .other(let expected, let found):
      [
        "the video was encoded by \(expected), here it is encoded by \(found): frames may differ although what is computed is the "
          + "same"
      ]
    case .lossless: ["of the two, one is encoded and one is frames without loss: their pixels differ"]
    }
  }

  /// What follows the number of frames that differ.
  var explanation: String {
    switch difference {
    case nil: ""
    case .unknown, .other:
      ". The encoder is not that of the video, so this does not tell whether other frames were computed: the same frames, encoded "
        + "otherwise, have a PSNR of 40 dB and more"
    case .lossless: ", as frames do that only one of the two has encoded: choose an --output of the same kind"
    }
  }
}
