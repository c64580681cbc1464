/// An `ffmpeg` that is fed raw rgb24 frames and writes files. Its failures become typed errors that name the output.
final class FrameEncoder {
  private let child: ChildProcess
  private let ffmpeg: FFmpeg
  private let destination: String
  private let frameByteCount: Int
  private(set) var frameCount = 0

  /// - Parameters:
  ///   - outputArguments: what follows the input on the command line.
  ///   - destination: the path that errors name.
  init(
    ffmpeg: FFmpeg, width: Int, height: Int, fps: Int, outputArguments: [String], destination: String
  ) throws(VideoIOError) {
    let input = [
      // A file whose end does not fit on the disk is an error too.
      "-xerror", "-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", "\(width)x\(height)", "-framerate",
      "\(fps)",
      "-i", "pipe:0",
    ]
    child = try ffmpeg.start(input + outputArguments, connection: .input)
    (self.destination, self.ffmpeg) = (destination, ffmpeg)
    frameByteCount = width * height * 3
  }

  /// Feeds one frame: rows from the top, pixels from the left, red, green and blue bytes.
  func append(_ frame: [UInt8]) throws(VideoIOError) {
    precondition(frame.count == frameByteCount, "frame: \(frame.count) bytes where \(frameByteCount) were expected")
    let alive = frame.withUnsafeBytes { child.write($0) }
    if !alive { throw failure(child.finish()) }
    frameCount += 1
  }

  /// Ends the stream and waits for the files to be complete.
  func finish() throws(VideoIOError) {
    let termination = child.finish()
    if termination != .exited(0) { throw failure(termination) }
  }

  /// Ends `ffmpeg` at once; its files stay unfinished.
  func cancel() { child.stop() }

  private func failure(_ termination: ChildProcess.Termination) -> VideoIOError {
    if let failure = ffmpeg.failure(child.abandonment, with: destination) { return failure }
    let detail = child.errorText
    if detail.contains("No space left on device") || detail.contains("Disk quota exceeded") {
      return .diskFull(path: destination)
    }
    return .encoderFailed(path: destination, frames: frameCount, status: termination.words, detail: detail)
  }
}
