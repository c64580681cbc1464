/// How messages say sizes: height x width, in the order of `--video-size`.
public enum VideoSize {
  /// `720x1280`
  public static func text(height: Int, width: Int) -> String { "\(height)x\(width)" }

  /// `129 frames of 720x1280`
  public static func text(frames: Int, height: Int, width: Int) -> String {
    "\(frames.counted("frame")) of \(text(height: height, width: width))"
  }
}

extension String {
  /// In quotation marks; of a long text the beginning and how long it is.
  public var quotedBeginning: String {
    let beginning = prefix(160)
    if beginning.endIndex == endIndex { return "\"\(self)\"" }
    return "\"\(beginning)…\" (\(count.counted("character")))"
  }

  /// The whole text, or the beginning and how long it is where nobody would read more.
  public var bounded: String {
    let beginning = prefix(1000)
    return beginning.endIndex == endIndex ? self : "\(beginning)… (\(count.counted("character")))"
  }
}

extension Int {
  /// `1 frame`, `2 frames`
  public func counted(_ noun: String) -> String { "\(self) \(noun)\(self == 1 ? "" : "s")" }
}
