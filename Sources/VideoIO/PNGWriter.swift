#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Writes frames to a folder as `frame_0001.png`, `frame_0002.png`, …, without loss. The files appear in the folder
/// when all are complete; a writer that is dropped before `finish` leaves nothing behind.
public final class PNGWriter {
  private let folder: String
  private let staged: StagedEncoding

  /// Starts a folder.
  /// - Parameters:
  ///   - folder: where the frames go; it is created when only its last component is missing. Other files in it stay.
  ///   - width: pixels per row.
  ///   - height: rows.
  ///   - ffmpeg: the program that encodes.
  /// - Throws: `VideoIOError` when the folder cannot be written or has numbered frames already, or `ffmpeg` does
  ///   not start.
  public init(folder: String, width: Int, height: Int, ffmpeg: FFmpeg) throws(VideoIOError) {
    precondition(width > 0 && height > 0, "frames: size \(width) x \(height)")
    try PNGWriter.checkNoFrames(folder)
    let isNew = mkdir(folder, 0o777) == 0
    if !isNew && errno != EEXIST {
      throw OutputLocation.failure(folder: OutputLocation.folder(of: folder), code: errno)
    }
    self.folder = folder
    let undo = { if isNew { rmdir(folder) } }
    let temporary: TemporaryOutput
    do throws(VideoIOError) { temporary = try .folder(in: folder) } catch {
      undo()
      throw error
    }
    staged = try StagedEncoding(in: temporary, undo: undo) { path throws(VideoIOError) in
      // A percent sign in the folder's name would be read as the place of the number.
      let pattern = FFmpeg.fileArgument(path).replacing("%", with: "%%") + "/frame_%04d.png"
      return try FrameEncoder(
        ffmpeg: ffmpeg, width: width, height: height, fps: 1,
        outputArguments: ["-map", "0:v:0", "-c:v", "png", "-f", "image2", "-start_number", "1", "-y", pattern],
        destination: folder)
    }
  }

  /// Checks, before any work, that frames can be put into a folder, which need not exist when its parent does.
  /// - Throws: `VideoIOError.folderMissing`, `folderUnwritable`, `framesInTheWay` or `diskFull`.
  public static func checkOutput(folder: String) throws(VideoIOError) {
    try checkNoFrames(folder)
    let exists = access(folder, F_OK) == 0
    if exists { TemporaryOutput.removeLeftovers(in: folder) }
    try TemporaryOutput.folder(in: exists ? folder : OutputLocation.folder(of: trimmed(folder))).remove()
  }

  /// Adds a frame of `height * width * 3` bytes: rows from the top, pixels from the left, red, green, blue.
  /// - Throws: `VideoIOError.encoderFailed` or `diskFull`; the writer is then closed and its files gone.
  public func append(_ frame: [UInt8]) throws(VideoIOError) { try staged.append(frame) }

  /// Completes the files and moves them into the folder.
  /// - Throws: `VideoIOError.encoderFailed` or `diskFull`; the files are then gone.
  public func finish() throws(VideoIOError) {
    try staged.finish { () throws(VideoIOError) in
      let (temporary, count) = (staged.temporary.path, staged.encoder.frameCount)
      let names = (OutputLocation.names(in: temporary) ?? []).sorted()
      if names.count != count || names.isEmpty {
        throw .encoderFailed(path: folder, frames: count, status: "\(names.count) files", detail: "")
      }
      for name in names { try OutputLocation.move("\(temporary)/\(name)", to: "\(folder)/\(name)") }
      rmdir(temporary)
    }
  }

  private static func checkNoFrames(_ folder: String) throws(VideoIOError) {
    if folder.isEmpty { throw .outputUnusable(path: folder, reason: "no folder name") }
    if folder.utf8.contains(0) { throw .outputUnusable(path: folder, reason: "a zero character in the name") }
    guard let names = OutputLocation.names(in: folder) else {
      if errno == ENOENT { return }
      throw OutputLocation.failure(folder: folder, code: errno)
    }
    if let example = names.sorted().first(where: { $0.hasPrefix("frame_") && $0.hasSuffix(".png") }) {
      throw .framesInTheWay(folder: folder, example: example)
    }
  }

  private static func trimmed(_ folder: String) -> String {
    var result = folder[...]
    while result.count > 1 && result.hasSuffix("/") { result.removeLast() }
    return String(result)
  }
}
