/// How large frames may be, so that what ffmpeg would refuse after all work is refused before it.
public enum FrameLimits {
  /// libx264: no side is longer.
  private static let h264Side = 16_384
  /// Every program that is built on libavutil (`av_image_check_size2`): a frame with its border, as if of eight bytes for each pixel,
  /// is counted in 31 bits.
  private static let frameByteCount = Int(Int32.max)

  /// Checks that frames of a size can be written.
  /// - Parameter path: a file, or a folder for PNG frames, which ends in a slash.
  /// - Throws: `VideoIOError.sizeUnsupported`.
  public static func check(width: Int, height: Int, for path: String) throws(VideoIOError) {
    let isFolder = path.hasSuffix("/")
    func refusal(_ expected: String, _ remedy: String) -> VideoIOError {
      .sizeUnsupported(path: path, width: width, height: height, expected: expected, remedy: remedy)
    }
    // A frame of one row is the longest that there is; beyond, the product below might not fit.
    let longest = frameByteCount / 8
    let bytes = max(width, height) > longest ? Int.max : (8 * width + 1024) * (height + 128)
    if bytes >= frameByteCount {
      throw refusal("at most about 268 million pixels in a frame", "choose a smaller size")
    }
    if !isFolder && max(width, height) > h264Side {
      throw refusal(
        "sides of at most \(h264Side) pixels, which is what H.264 files can have",
        "write frames as PNG files with --output frames/, or choose a smaller size")
    }
  }
}
