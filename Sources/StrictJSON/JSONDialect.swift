/// How strictly a text is read.
public enum JSONDialect: Sendable {
  /// RFC 8259, and nothing else: for headers whose numbers are places in a file.
  case strict
  /// What Python's `json` writes and Windows' editors leave too: `NaN`, `Infinity` and `-Infinity` as numbers, and a byte
  /// order mark before the text. For configurations, which people edit and whose fields are mostly not needed.
  case lenient
}

extension JSONDialect {
  /// How many bytes of a byte order mark come before the text.
  func markCount(_ bytes: [UInt8]) -> Int {
    self == .lenient && bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
  }
}

/// Whether a text is in UTF-16 or UTF-32, as its mark or the zeros beside its first character tell.
public func isWideText(_ bytes: [UInt8]) -> Bool {
  guard bytes.count >= 2 else { return false }
  let start = (bytes[0], bytes[1])
  return start == (0xFF, 0xFE) || start == (0xFE, 0xFF) || (start.0 == 0) != (start.1 == 0)
    || bytes.starts(with: [0, 0, 0xFE, 0xFF])
}
