#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Reads the frames of a video file, or of a folder of PNG files in the order of their names.
public struct VideoReader: Sendable {
  /// The largest width and height that are read.
  public static let sizeLimit = 16_384

  /// The file or folder.
  public let path: String
  /// Pixels per row.
  public let width: Int
  /// Rows per frame.
  public let height: Int
  /// How many frames there are.
  public let frameCount: Int
  /// Frames per second on average; nil for a folder.
  public let framesPerSecond: Double?

  let ffmpeg: FFmpeg
  let input: [String]

  /// Reads size, number of frames and rate, without decoding.
  /// - Throws: `VideoIOError.inputUnreadable`, `decoderFailed` or `cannotStart`.
  public init(path: String, ffmpeg: FFmpeg) throws(VideoIOError) {
    var information = stat()
    if path.utf8.contains(0) { throw .inputUnreadable(path: path, code: ENOENT) }
    if stat(path, &information) != 0 { throw .inputUnreadable(path: path, code: errno) }
    let isFolder = information.st_mode & S_IFMT == S_IFDIR
    // A video is read more than once, which a pipe is not; and one that nobody writes to would be waited for for ever.
    if !isFolder && information.st_mode & S_IFMT != S_IFREG { throw .inputUnreadable(path: path, code: ESPIPE) }
    if access(path, R_OK) != 0 { throw .inputUnreadable(path: path, code: errno) }
    self.path = path
    self.ffmpeg = ffmpeg
    // The whitelist keeps a playlist that poses as a video from opening network connections.
    let argument = FFmpeg.fileArgument(path)
    input =
      ["-protocol_whitelist", "file"]
      + (isFolder
        ? ["-f", "image2", "-pattern_type", "glob", "-i", VideoReader.globEscaped(argument) + "/*.png"]
        : ["-i", argument])

    let answer = try ffmpeg.query(input + ["-map", "0:v:0", "-c", "copy", "-f", "framecrc", "pipe:1"])
    if answer.termination != .exited(0) {
      throw .decoderFailed(path: path, detail: answer.errors.isEmpty ? "no video" : answer.errors)
    }
    let summary = PacketSummary(answer.output)
    guard let width = summary.width, let height = summary.height, summary.count > 0 else {
      throw .decoderFailed(path: path, detail: "no frames")
    }
    if width < 1 || height < 1 || width > VideoReader.sizeLimit || height > VideoReader.sizeLimit {
      throw .decoderFailed(path: path, detail: "frames of \(width) x \(height) pixels")
    }
    self.width = width
    self.height = height
    frameCount = summary.count
    framesPerSecond = isFolder ? nil : summary.framesPerSecond
  }

  /// Decodes the frames one by one: `height * width * 3` bytes each, rows from the top, red, green, blue.
  /// - Parameter body: receives the position of the frame and its bytes; what it throws ends the reading.
  /// - Throws: `VideoIOError.decoderFailed` or `cannotStart`, and what `body` throws.
  public func forEachFrame(_ body: (Int, [UInt8]) throws -> Void) throws {
    // Each frame gets its own place in time: frames of odd duration are then neither repeated nor dropped.
    let child = try ffmpeg.start(
      input + [
        "-map", "0:v:0", "-vf", "setpts=N/24/TB,scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24",
        "-r", "24", "-f", "rawvideo", "pipe:1",
      ], connection: .output)
    var position = 0
    while true {
      var isWhole = false
      let size = width * height * 3
      let frame = [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
        initialized = child.read(into: UnsafeMutableRawBufferPointer(buffer))
        isWhole = initialized == size
      }
      if isWhole {
        try body(position, frame)
        position += 1
        continue
      }
      let termination = child.finish()
      if let failure = ffmpeg.failure(child.abandonment, with: path) { throw failure }
      if termination != .exited(0) || !frame.isEmpty || position == 0 {
        let detail = child.errorText
        throw VideoIOError.decoderFailed(
          path: path, detail: detail.isEmpty ? "\(termination.words) after \(position) frames" : detail)
      }
      return
    }
  }

  /// Decodes all frames. A long clip takes much memory: prefer `forEachFrame`.
  /// - Throws: `VideoIOError.decoderFailed` or `cannotStart`.
  public func frames() throws -> [[UInt8]] {
    var frames: [[UInt8]] = []
    try forEachFrame { _, frame in frames.append(frame) }
    return frames
  }

  /// The metadata of the file by key, what `VideoWriter` stored and what the format adds (`encoder`, `major_brand`).
  /// - Throws: `VideoIOError.decoderFailed` or `cannotStart`.
  public func metadata() throws(VideoIOError) -> [String: String] {
    let answer = try ffmpeg.query(input + ["-f", "ffmetadata", "pipe:1"])
    if answer.termination != .exited(0) { throw .decoderFailed(path: path, detail: answer.errors) }
    return VideoMetadata.parse(answer.output)
  }

  private static func globEscaped(_ path: String) -> String {
    String(path.flatMap { "*?[]{}\\".contains($0) ? ["\\", $0] : [$0] })
  }
}
