import Checkpoints
import Foundation
import Generation
import TensorCore
import VideoIO

/// A file or folder of frames.
private protocol FrameWriter: AnyObject {
  func append(_ frame: [UInt8]) throws(VideoIOError)
  func finish() throws(VideoIOError)
}

extension VideoWriter: FrameWriter {}
extension PNGWriter: FrameWriter {}

/// Takes a video's frames as they are decoded and writes them to their file or folder.
final class VideoOutput: FrameSink {
  private let writer: any FrameWriter
  private let collector: FrameCollector?
  /// Where metadata goes that no file of frames can hold.
  private let metadata: (values: [String: String], folder: String)?

  /// - Parameters:
  ///   - path: a file, or a folder for PNG frames, which ends in a slash.
  ///   - metadata: what a file says of itself; beside frames it stands in a file of its own.
  ///   - collector: is given the frames too, where they are to stay in memory.
  init(
    path: String, height: Int, width: Int, framesPerSecond: Int, metadata: [String: String], ffmpeg: FFmpeg,
    collector: FrameCollector? = nil
  ) throws {
    self.collector = collector
    self.metadata = path.hasSuffix("/") ? (metadata, path) : nil
    if path.hasSuffix("/") {
      writer = try PNGWriter(folder: path, width: width, height: height, ffmpeg: ffmpeg)
    } else {
      writer = try VideoWriter(
        path: path, width: width, height: height, fps: framesPerSecond, metadata: metadata, ffmpeg: ffmpeg)
    }
  }

  func append(_ frames: Tensor) throws {
    let images = Frames(frames)
    for index in 0..<images.count { try writer.append(images.rgb24(index)) }
    collector?.append(frames)
  }

  func finish() throws {
    try writer.finish()
    if let metadata { try VideoOrigin.write(metadata.values, toFolder: metadata.folder) }
  }

  /// All frames `[1, 3, F, H, W]` as they were before quantization, where they are kept.
  var video: Tensor? { collector?.video }

  /// Writes them to a file.
  func saveFrames(to path: String) throws {
    if let video { try SafetensorsWriter.write([("video", video)], to: path) }
  }
}

extension FFmpeg {
  /// Looks for the program; a signal that ends the run ends waiting for it, too.
  static func found() throws(VideoIOError) -> FFmpeg {
    var ffmpeg = try find()
    ffmpeg.isStopped = { StopSignals.received != nil }
    return ffmpeg
  }
}
