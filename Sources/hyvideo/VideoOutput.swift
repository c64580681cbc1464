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
  private let collector: FrameCollector?

  init(_ job: GenerateJob, plan: GeneratePlan, keepsFrames: Bool) throws {
    self.job = job
    collector = keepsFrames ? FrameCollector() : nil
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
    collector?.append(frames)
  }

  func finish() throws { try writer.finish() }

  /// All frames `[1, 3, F, H, W]` as they were before quantization, where they are kept.
  var video: Tensor? { collector?.video }

  /// Writes them to a file.
  func saveFrames(to path: String) throws {
    if let video { try SafetensorsWriter.write([("video", video)], to: path) }
  }
}
