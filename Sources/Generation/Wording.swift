/// How messages say sizes: height x width, in the order of `--video-size`.
public enum VideoSize {
  /// `720x1280`
  public static func text(height: Int, width: Int) -> String { "\(height)x\(width)" }

  /// `129 frames of 720x1280`
  public static func text(frames: Int, height: Int, width: Int) -> String {
    "\(frames.counted("frame")) of \(text(height: height, width: width))"
  }
}

extension Int {
  /// `1 frame`, `2 frames`
  public func counted(_ noun: String) -> String { "\(self) \(noun)\(self == 1 ? "" : "s")" }
}
