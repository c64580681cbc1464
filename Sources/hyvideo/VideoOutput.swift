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
  private let job: GenerateJob
  private let writer: any FrameWriter
  private let keepsFrames: Bool
  private var pieces: [Tensor] = []

  init(_ job: GenerateJob, plan: GeneratePlan, keepsFrames: Bool) throws {
    self.job = job
    self.keepsFrames = keepsFrames
    let request = job.request
    let size = (width: request.roundedWidth, height: request.roundedHeight)
    if job.path.hasSuffix("/") {
      writer = try PNGWriter(folder: job.path, width: size.width, height: size.height, ffmpeg: plan.ffmpeg)
    } else {
      let metadata = [
        "title": request.prompt, "prompt": request.prompt, "seed": "\(request.seed)",
        "settings": try GenerationReport.settingsLine(request, plan: plan),
        "checkpoint_sha256": plan.checkpointDigest, "generator": "hyvideo \(ProgramVersion.current)",
      ]
      writer = try VideoWriter(
        path: job.path, width: size.width, height: size.height, fps: plan.framesPerSecond,
        metadata: metadata, ffmpeg: plan.ffmpeg)
    }
  }

  func append(_ frames: Tensor) throws {
    let images = Frames(frames)
    for index in 0..<images.count { try writer.append(images.rgb24(index)) }
    if keepsFrames { pieces.append(frames) }
  }

  func finish() throws { try writer.finish() }

  /// Writes all frames `[1, 3, F, H, W]` as they were before quantization.
  func saveFrames(to path: String) throws {
    guard let first = pieces.first else { return }
    let frameCount = pieces.reduce(0) { $0 + $1.shape[2] }
    let (channels, plane) = (first.shape[1], first.shape[3] * first.shape[4])
    let video = Tensor(uninitialized: [1, channels, frameCount, first.shape[3], first.shape[4]])
    let size = MemoryLayout<Float>.size
    var start = 0
    for piece in pieces {
      let count = piece.shape[2]
      for channel in 0..<channels {
        let target = video.mutableHostPointer + (channel * frameCount + start) * plane * size
        target.copyMemory(
          from: piece.hostPointer + channel * count * plane * size, byteCount: count * plane * size)
      }
      start += count
    }
    try SafetensorsWriter.write([("video", video)], to: path)
  }
}
