import TensorCore

/// Pixels of a clip in host memory, `[3, F, H, W]` row-major, for blending tiles.
struct PixelClip: Sendable {
  let channels: Int
  let frames: Int
  let height: Int
  let width: Int
  var values: [Float]

  init(channels: Int, frames: Int, height: Int, width: Int) {
    (self.channels, self.frames, self.height, self.width) = (channels, frames, height, width)
    values = [Float](repeating: 0, count: channels * frames * height * width)
  }

  /// Copies a contiguous host tensor `[1, C, F, H, W]`.
  init(_ tensor: Tensor) {
    (channels, frames, height, width) = (tensor.shape[1], tensor.shape[2], tensor.shape[3], tensor.shape[4])
    let count = tensor.count
    values = [Float](
      unsafeUninitializedCapacity: count,
      initializingWith: { buffer, initialized in
        UnsafeMutableRawBufferPointer(buffer).copyMemory(
          from: UnsafeRawBufferPointer(start: tensor.hostPointer, count: count * MemoryLayout<Float>.size))
        initialized = count
      })
  }

  /// The clip as a tensor `[1, C, F, H, W]`.
  var tensor: Tensor { Tensor(values, shape: [1, channels, frames, height, width]) }

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
    var result = PixelClip(channels: channels, frames: f.count, height: y.count, width: x.count)
    result.paste(self, frames: f, rows: y, columns: x, atFrame: 0, row: 0, column: 0)
    return result
  }

  /// Copies a box of another clip to a place in this one.
  mutating func paste(
    _ other: PixelClip, frames: Range<Int>, rows: Range<Int>, columns: Range<Int>, atFrame: Int, row: Int, column: Int
  ) {
    for c in 0..<channels {
      for (f, sourceFrame) in frames.enumerated() {
        for (y, sourceRow) in rows.enumerated() {
          let from = ((c * other.frames + sourceFrame) * other.height + sourceRow) * other.width + columns.lowerBound
          let to = ((c * self.frames + atFrame + f) * height + row + y) * width + column
          values.replaceSubrange(to..<to + columns.count, with: other.values[from..<from + columns.count])
        }
      }
    }
  }

  /// Fades from the end of a neighbour into the beginning of this clip: over `e = min(both extents, blend)` positions,
  /// position `i` becomes `neighbour[end - e + i] · (1 - i/e) + self[i] · i/e`.
  mutating func blend(from neighbour: PixelClip, along axis: Axis, extent blend: Int) {
    let e = min(neighbour.extent(axis), extent(axis), blend)
    if e == 0 { return }
    // Clips are read as [outer, axis, inner].
    let inner: Int
    switch axis {
    case .time: inner = height * width
    case .vertical: inner = width
    case .horizontal: inner = 1
    }
    let length = extent(axis)
    let neighbourLength = neighbour.extent(axis)
    let outer = values.count / (length * inner)
    precondition(
      neighbour.values.count == outer * neighbourLength * inner, "blend: neighbours differ beside the blended axis")
    for o in 0..<outer {
      for i in 0..<e {
        let weight = Float(i) / Float(e)
        let from = (o * neighbourLength + neighbourLength - e + i) * inner
        let to = (o * length + i) * inner
        for j in 0..<inner {
          values[to + j] = neighbour.values[from + j] * (1 - weight) + values[to + j] * weight
        }
      }
    }
  }
}
