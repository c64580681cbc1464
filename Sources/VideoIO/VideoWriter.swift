#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Writes frames to an mp4 file: H.264 by `libx264`, yuv420p, constant quality, ready to be streamed, colours marked
/// as BT.709. Frames go to the encoder one by one, so that a clip never lies in memory as a whole. The file gets its
/// name when it is complete; a writer that is dropped before `finish` leaves nothing behind.
///
/// The same frames and metadata give the same file wherever they are written by the same build of `ffmpeg` and libx264, whatever the
/// number of cores and their instructions (`docs/decisions/0020-encoding-does-not-depend-on-cores.md`).
public final class VideoWriter {
  /// The x264 quality: about visually lossless.
  private static let constantRateFactor = 17

  /// Frames that libx264 works on at a time. It would take more on more cores, and each number gives other bits.
  private static let threads = 8

  /// What in libx264 depends on the machine otherwise: threads that look ahead, and functions that give other results with other
  /// instructions (AVX-512). The others are its defaults today.
  private static let encoderParameters = "lookahead-threads=1:sliced-threads=0:deterministic=1:cpu-independent=1"

  /// Rows that are converted at a time. The colours of a pixel do not depend on it.
  private static let filterThreads = 4

  /// The key of a file's metadata that says how it was encoded.
  public static let encodingKey = "encoding"

  /// How a file is encoded by a program: files that say the same of themselves have the same bits for the same frames.
  public static func encoding(by ffmpeg: FFmpeg) -> String {
    let version = (try? ffmpeg.version()) ?? nil
    return "libx264 crf=\(constantRateFactor) threads=\(threads) cpu-independent=1, "
      + "ffmpeg \(version ?? "of unknown version")"
  }

  private let path: String
  private let staged: StagedEncoding

  /// Starts a file.
  /// - Parameters:
  ///   - path: the file, which is replaced when it exists. Its folder must exist.
  ///   - width: pixels per row, even.
  ///   - height: rows, even.
  ///   - fps: frames per second.
  ///   - metadata: values by key, for example `title`, `comment`, `prompt`, `seed`. Keys are ASCII letters, digits,
  ///     `_`, `-` and `.`; values are any text (`VideoMetadata.argumentValue` tells the limits). `encodingKey` is added.
  ///   - ffmpeg: the program that encodes.
  /// - Throws: `VideoIOError` when the folder is missing or cannot be written, or `ffmpeg` does not start.
  public init(
    path: String, width: Int, height: Int, fps: Int, metadata: [String: String] = [:], ffmpeg: FFmpeg
  ) throws(VideoIOError) {
    precondition(width > 0 && height > 0 && width % 2 == 0 && height % 2 == 0, "video: size \(width) x \(height)")
    precondition(fps > 0, "video: \(fps) frames per second")
    try OutputLocation.checkFile(path)
    self.path = path
    let metadata = metadata.merging([VideoWriter.encodingKey: VideoWriter.encoding(by: ffmpeg)]) { $1 }
    staged = try StagedEncoding(in: .file(in: OutputLocation.folder(of: path), suffix: ".mp4")) {
      temporary throws(VideoIOError) in
      try FrameEncoder(
        ffmpeg: ffmpeg, width: width, height: height, fps: fps,
        outputArguments: VideoWriter.arguments(temporary, metadata), destination: path)
    }
  }

  /// Checks, before any work, that the file can be put where it should go.
  /// - Throws: `VideoIOError.folderMissing`, `folderUnwritable`, `outputUnusable` or `diskFull`.
  public static func checkOutput(path: String) throws(VideoIOError) { try OutputLocation.checkFile(path) }

  /// Adds a frame of `height * width * 3` bytes: rows from the top, pixels from the left, red, green, blue.
  /// - Throws: `VideoIOError.encoderFailed` or `diskFull`; the writer is then closed and the file gone.
  public func append(_ frame: [UInt8]) throws(VideoIOError) { try staged.append(frame) }

  /// Completes the file and gives it its name.
  /// - Throws: `VideoIOError.encoderFailed` or `diskFull`; the file is then gone.
  public func finish() throws(VideoIOError) {
    try staged.finish { () throws(VideoIOError) in
      let (temporary, count) = (staged.temporary.path, staged.encoder.frameCount)
      var information = stat()
      if count == 0 || stat(temporary, &information) != 0 || information.st_size == 0 {
        let detail = count == 0 ? "no frames were given" : "the file is empty"
        throw .encoderFailed(path: path, frames: count, status: "no video", detail: detail)
      }
      // An ffmpeg, or what stands for it, may say that all is well when it is not.
      let found = MP4Index(path: temporary)?.sampleCount
      if found != count {
        let detail = found.map { "the file has \($0) frames of \(count)" } ?? "the file is not whole"
        throw .encoderFailed(path: path, frames: count, status: "no video", detail: detail)
      }
      try OutputLocation.move(temporary, to: path)
    }
  }

  private static func arguments(_ path: String, _ metadata: [String: String]) -> [String] {
    // The conversion to yuv is done and marked as BT.709: unmarked video is taken for BT.601 or BT.709 depending on
    // its size and the player.
    let conversion = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"
    return [
      "-filter_threads", "\(filterThreads)", "-map", "0:v:0", "-vf", "\(conversion),format=yuv420p",
      "-c:v", "libx264", "-crf", "\(constantRateFactor)", "-threads", "\(threads)", "-x264-params", encoderParameters,
      "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
      "-movflags", "+faststart+use_metadata_tags",
    ] + VideoMetadata.arguments(metadata) + ["-f", "mp4", "-y", FFmpeg.fileArgument(path)]
  }
}
