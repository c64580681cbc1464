#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What can go wrong on the way between frames and files. Each description is one line: what, where, what was
/// expected and found, and the remedy.
public enum VideoIOError: Error, Equatable, CustomStringConvertible {
  /// There is no `ffmpeg` where it was looked for.
  case ffmpegMissing(searched: String)
  /// `ffmpeg` is there but was built without an encoder; `alternatives` are H.264 encoders that it does have.
  case encoderMissing(encoder: String, ffmpeg: String, alternatives: [String])
  /// A program could not be started; `code` is the system's error number.
  case cannotStart(program: String, code: Int32)
  /// The folder that should receive the output does not exist or is no folder.
  case folderMissing(path: String, code: Int32)
  /// The system refuses to write into the folder of an output.
  case folderUnwritable(path: String, code: Int32)
  /// The output path itself cannot be used: it is a folder, or its name is too long.
  case outputUnusable(path: String, reason: String)
  /// A folder already holds numbered frames, which a shorter clip would leave mixed with its own.
  case framesInTheWay(folder: String, example: String)
  /// The file system has no room for the output.
  case diskFull(path: String)
  /// `ffmpeg` stopped while it was fed or did not finish the file. `status` tells how it ended, `detail` the end of
  /// what it printed.
  case encoderFailed(path: String, frames: Int, status: String, detail: String)
  /// A program neither took nor gave anything for so long, and did not end.
  case stalled(program: String, path: String, seconds: Int)
  /// The work was given up because nobody wants it any more.
  case stopped(path: String)
  /// Frames of a size that cannot be written; `remedy` is what can be had.
  case sizeUnsupported(path: String, width: Int, height: Int, expected: String, remedy: String)
  /// A file or folder to read does not exist or cannot be opened.
  case inputUnreadable(path: String, code: Int32)
  /// `ffmpeg` could not decode a file.
  case decoderFailed(path: String, detail: String)
  /// A frame to be written holds NaN.
  case notANumber(frame: Int)

  public var description: String {
    switch self {
    case .ffmpegMissing(let searched):
      "ffmpeg missing: \(searched): expected the program ffmpeg, found none; install it (Debian, Ubuntu: "
        + "sudo apt-get install ffmpeg) or set \(FFmpeg.overrideVariable) to its path"
    case .encoderMissing(let encoder, let ffmpeg, let alternatives):
      "encoder missing: \(ffmpeg): expected the encoder \(encoder), found "
        + (alternatives.isEmpty ? "no H.264 encoder" : alternatives.joined(separator: ", "))
        + "; install an ffmpeg with \(encoder) (Debian, Ubuntu: sudo apt-get install ffmpeg), set "
        + "\(FFmpeg.overrideVariable) to one, or save a folder of PNG frames"
    case .cannotStart(let program, let code):
      "cannot start a program: \(program): expected it to run, found \(systemMessage(code)); set "
        + "\(FFmpeg.overrideVariable) to a working ffmpeg"
    case .folderMissing(let path, let code):
      "output folder missing: \(path): expected a folder, found \(systemMessage(code)); create it with mkdir -p"
    case .folderUnwritable(let path, let code):
      "cannot write: \(path): expected a folder that can be written, found \(systemMessage(code)); choose another folder"
    case .outputUnusable(let path, let reason):
      "cannot write: \(path): expected a path for a new file, found \(reason); choose another name"
    case .framesInTheWay(let folder, let example):
      "frames in the way: \(folder): expected no numbered frames, found \(example); remove them or choose another folder"
    case .diskFull(let path):
      "disk full: \(path): expected room for the output, found none; free some space and run again"
    case .encoderFailed(let path, let frames, let status, let detail):
      "video encoding failed: \(path): expected ffmpeg to succeed, found \(status) after \(frames) \(frames == 1 ? "frame" : "frames")"
        + (detail.isEmpty ? "" : " (\(detail))") + "; check the installation with ffmpeg -version"
    case .stalled(let program, let path, let seconds):
      "\(program) hangs: \(path): expected it to take or give something, found nothing in \(seconds) s; it was ended: try it by "
        + "hand, or set \(FFmpeg.patienceVariable) to more seconds"
    case .stopped(let path):
      "stopped: \(path): expected to go on, found that the run was told to end"
    case .sizeUnsupported(let path, let width, let height, let expected, let remedy):
      "frames too large: \(path): expected \(expected), found \(height) x \(width); \(remedy)"
    case .inputUnreadable(let path, let code):
      "cannot read: \(path): expected a video file or a folder of PNG frames, found \(systemMessage(code)); check the path"
    case .decoderFailed(let path, let detail):
      "cannot decode: \(path): expected a video file or a folder of PNG frames, found \(detail); check the file"
    case .notANumber(let frame):
      "not a number: frame \(frame + 1): expected finite pixel values, found NaN; check the weights of the VAE"
    }
  }
}

/// The system's words for an error number.
private func systemMessage(_ code: Int32) -> String { String(cString: strerror(code)) }
