import TensorCore

/// Pixels of a clip in host memory, `[1, C, F, H, W]` row-major, for blending tiles.
///
/// A clip owns its memory: blending changes it in place. Where a run is only planned there are no pixels, and nothing is copied.
struct PixelClip: Sendable {
  let tensor: Tensor
  private let allocate: @Sendable (Shape) -> Tensor

  /// Takes a contiguous tensor `[1, C, F, H, W]` over.
  /// - Parameter allocate: makes the memory of clips that come of this one.
  init(_ tensor: Tensor, allocate: @escaping @Sendable (Shape) -> Tensor) {
    self.tensor = tensor
    self.allocate = allocate
  }

  var channels: Int { tensor.shape[1] }
  var frames: Int { tensor.shape[2] }
  var height: Int { tensor.shape[3] }
  var width: Int { tensor.shape[4] }

  /// A clip of other extents with undefined pixels.
  func empty(frames: Int, height: Int, width: Int) -> PixelClip {
    PixelClip(allocate([1, channels, frames, height, width]), allocate: allocate)
  }

  /// The first pixel; nil where there are none.
  private var pixels: UnsafeMutablePointer<Float>? {
    tensor.storage.hostAddress == nil ? nil : tensor.mutableHostPointer.assumingMemoryBound(to: Float.self)
  }

  enum Axis { case time, vertical, horizontal }

  func extent(_ axis: Axis) -> Int {
    switch axis {
    case .time: frames
    case .vertical: height
    case .horizontal: width
    }
  }

  /// The part `range` along an axis.
  func slice(_ axis: Axis, _ range: Range<Int>) -> PixelClip {
    let f = axis == .time ? range : 0..<frames
    let y = axis == .vertical ? range : 0..<height
    let x = axis == .horizontal ? range : 0..<width
    let result = empty(frames: f.count, height: y.count, width: x.count)
    result.paste(self, frames: f, rows: y, columns: x, atFrame: 0, row: 0, column: 0)
    return result
  }

  /// Copies a box of another clip to a place in this one.
  func paste(
    _ other: PixelClip, frames: Range<Int>, rows: Range<Int>, columns: Range<Int>, atFrame: Int, row: Int, column: Int
  ) {
    guard let target = pixels, let source = other.pixels else { return }
    for c in 0..<channels {
      for (f, sourceFrame) in frames.enumerated() {
        for (y, sourceRow) in rows.enumerated() {
          let from = ((c * other.frames + sourceFrame) * other.height + sourceRow) * other.width + columns.lowerBound
          let to = ((c * self.frames + atFrame + f) * height + row + y) * width + column
          (target + to).update(from: source + from, count: columns.count)
        }
      }
    }
  }

  /// Fades from the end of a neighbour into the beginning of this clip: over `e = min(both extents, blend)` positions,
  /// position `i` becomes `neighbour[end - e + i] · (1 - i/e) + self[i] · i/e`.
  func blend(from neighbour: PixelClip, along axis: Axis, extent blend: Int) {
    let e = min(neighbour.extent(axis), extent(axis), blend)
    guard e > 0, let values = pixels, let others = neighbour.pixels else { return }
    // Clips are read as [outer, axis, inner].
    let inner: Int
    switch axis {
    case .time: inner = height * width
    case .vertical: inner = width
    case .horizontal: inner = 1
    }
    let length = extent(axis)
    let neighbourLength = neighbour.extent(axis)
    let outer = tensor.count / (length * inner)
    precondition(
      neighbour.tensor.count == outer * neighbourLength * inner, "blend: neighbours differ beside the blended axis")
    for o in 0..<outer {
      for i in 0..<e {
        let weight = Float(i) / Float(e)
        let from = (o * neighbourLength + neighbourLength - e + i) * inner
        let to = (o * length + i) * inner
        for j in 0..<inner {
          values[to + j] = others[from + j] * (1 - weight) + values[to + j] * weight
        }
      }
    }
  }
}
