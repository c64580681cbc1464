import Generation
import TensorCore

/// Keeps the frames of a video in memory.
final class FrameCollector: FrameSink {
  private let frameCount: Int?
  private var pieces: [Tensor] = []
  /// All frames, where their number is known: pieces go there at once, so that nothing is held twice.
  private var whole: Tensor?
  private var filled = 0

  /// - Parameter frameCount: how many frames will come, where that is known.
  init(frameCount: Int? = nil) { self.frameCount = frameCount }

  func append(_ frames: Tensor) {
    guard let frameCount else { return pieces.append(frames) }
    let target = whole ?? Self.empty(frameCount, like: frames)
    whole = target
    Self.copy(frames, to: target, at: filled)
    filled += frames.shape[2]
  }

  /// All frames `[1, 3, F, H, W]`, or nil before the first.
  var video: Tensor? {
    if let whole { return whole }
    guard let first = pieces.first else { return nil }
    let video = Self.empty(pieces.reduce(0) { $0 + $1.shape[2] }, like: first)
    var start = 0
    for piece in pieces {
      Self.copy(piece, to: video, at: start)
      start += piece.shape[2]
    }
    return video
  }

  private static func empty(_ count: Int, like frames: Tensor) -> Tensor {
    Tensor(uninitialized: [1, frames.shape[1], count, frames.shape[3], frames.shape[4]])
  }

  private static func copy(_ piece: Tensor, to video: Tensor, at start: Int) {
    let (plane, size) = (piece.shape[3] * piece.shape[4], MemoryLayout<Float>.size)
    let (count, all) = (piece.shape[2], video.shape[2])
    precondition(start + count <= all, "frames: \(start) and \(count) more of \(all)")
    for channel in 0..<piece.shape[1] {
      let target = video.mutableHostPointer + (channel * all + start) * plane * size
      target.copyMemory(from: piece.hostPointer + channel * count * plane * size, byteCount: count * plane * size)
    }
  }
}
