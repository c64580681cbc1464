/// Metadata of video files as `ffmpeg` takes it on the command line and prints it.
public enum VideoMetadata {
  /// The longest value that is stored, in UTF-8 bytes. Linux takes arguments of up to 128 KiB.
  public static let valueLimit = 100_000

  /// A value as it is stored: zero characters, which no argument can hold, become U+FFFD, and a value longer than
  /// `valueLimit` ends in `…`. Everything else, line ends and quotes included, is stored as it is. An empty value
  /// is not stored at all.
  public static func argumentValue(_ value: String) -> String {
    var result = value
    if result.utf8.contains(0) {
      result = String(String.UnicodeScalarView(result.unicodeScalars.map { $0.value == 0 ? "\u{FFFD}" : $0 }))
    }
    if result.utf8.count <= valueLimit { return result }
    var byteCount = "…".utf8.count
    let kept = result.unicodeScalars.prefix { scalar in
      byteCount += UTF8.width(scalar)
      return byteCount <= valueLimit
    }
    return String(kept) + "…"
  }

  /// `-metadata key=value` for each key, in the order of the keys.
  static func arguments(_ metadata: [String: String]) -> [String] {
    metadata.sorted { $0.key < $1.key }.flatMap { key, value in
      precondition(
        !key.isEmpty && key.utf8.allSatisfy(isKeyByte), "metadata: the key \(key) has characters that no key may have")
      return ["-metadata", "\(key)=\(argumentValue(value))"]
    }
  }

  /// The global values of an `ffmetadata` text: `key=value` lines up to the first section, where a backslash makes
  /// the next character (a line end too) part of the text.
  static func parse(_ text: [UInt8]) -> [String: String] {
    var result: [String: String] = [:]
    var key: [UInt8]?
    var current: [UInt8] = []
    var atLineStart = true
    var index = 0
    func endLine() {
      if let key { result[String(decoding: key, as: UTF8.self)] = String(decoding: current, as: UTF8.self) }
    }
    while index < text.count {
      let byte = text[index]
      index += 1
      if atLineStart {
        if byte == UInt8(ascii: "[") { return result }
        if byte == UInt8(ascii: ";") || byte == UInt8(ascii: "#") {
          while index < text.count && text[index - 1] != UInt8(ascii: "\n") { index += 1 }
          continue
        }
      }
      atLineStart = false
      switch byte {
      case UInt8(ascii: "\\") where index < text.count:
        current.append(text[index])
        index += 1
      case UInt8(ascii: "=") where key == nil:
        key = current
        current = []
      case UInt8(ascii: "\n"):
        endLine()
        key = nil
        current = []
        atLineStart = true
      default:
        current.append(byte)
      }
    }
    endLine()
    return result
  }

  private static func isKeyByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
      true
    default: false
    }
  }
}
