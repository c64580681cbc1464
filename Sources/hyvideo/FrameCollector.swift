import Generation
import TensorCore

/// Keeps the frames of a video in memory.
final class FrameCollector: FrameSink {
  private var pieces: [Tensor] = []

  func append(_ frames: Tensor) { pieces.append(frames) }

  /// All frames `[1, 3, F, H, W]`, or nil before the first.
  var video: Tensor? {
    guard let first = pieces.first else { return nil }
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
    return video
  }
}
