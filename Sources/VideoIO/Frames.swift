public import TensorCore

/// The frames of a decoded video as 8-bit images.
///
/// Values are clamped to 0...1, multiplied by 255 and truncated, as the published pipeline does: 0.999 is 254, not
/// 255. NaN is an error: it means that a network went wrong, and no colour would be right.
public struct Frames: Sendable {
  private let video: Tensor

  /// The number of frames.
  public let count: Int
  /// Pixels per row.
  public let width: Int
  /// Rows per frame.
  public let height: Int

  /// - Parameter video: float32 `[1, 3, F, H, W]` in host memory with any strides; channels are red, green, blue.
  public init(_ video: Tensor) {
    precondition(
      video.shape.rank == 5 && video.shape[0] == 1 && video.shape[1] == 3 && video.dtype == .float32,
      "frames: expected float32 [1, 3, F, H, W], found \(video)")
    self.video = video
    count = video.shape[2]
    height = video.shape[3]
    width = video.shape[4]
  }

  /// One frame: `height * width * 3` bytes, rows from the top, pixels from the left, red, green, blue.
  /// - Throws: `VideoIOError.notANumber`.
  public func rgb24(_ frame: Int) throws(VideoIOError) -> [UInt8] {
    precondition(frame >= 0 && frame < count, "frames: \(frame) of \(count)")
    let image = video.select(2, frame)
    let (channel, row, column) = (image.strides[1], image.strides[2], image.strides[3])
    let (width, height) = (width, height)
    let base = image.hostPointer.assumingMemoryBound(to: Float.self)
    var hasNaN = false
    let bytes = [UInt8](unsafeUninitializedCapacity: width * height * 3) { bytes, initialized in
      var position = 0
      for y in 0..<height {
        for x in 0..<width {
          let pixel = base + (y * row + x * column)
          for c in 0..<3 {
            let value = pixel[c * channel]
            hasNaN = hasNaN || value.isNaN
            bytes[position + c] = Frames.byte(value)
          }
          position += 3
        }
      }
      initialized = position
    }
    if hasNaN { throw .notANumber(frame: frame) }
    return bytes
  }

  /// The truncated byte of a value. The comparisons are false for NaN, which gives 0 here.
  @inline(__always)
  private static func byte(_ value: Float) -> UInt8 { value > 0 ? (value < 1 ? UInt8(value * 255) : 255) : 0 }
}
