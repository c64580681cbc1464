extension String {
  /// The text fit for a message: control characters escaped, and cut where a file claims an absurdly long name.
  public var oneLine: String {
    var result = ""
    for (position, scalar) in unicodeScalars.enumerated() {
      if position == 240 { return result + "…" }
      result += scalar.isDisplayed ? String(scalar) : scalar.escaped
    }
    return result
  }

  /// The text as a terminal or a page may show it, in one line: characters that would move the cursor, begin a line, turn the
  /// direction of what follows or take no room are written as `\u{1b}`.
  public var printable: String { escapingHidden(but: []) { $0.escaped } }

  /// The same of a text of several lines.
  public var printableLines: String { escapingHidden(but: ["\n"]) { $0.escaped } }

  /// JSON without such characters outside of escapes. It stays the same value: they can only be parts of strings.
  public var printableJSON: String {
    escapingHidden(but: ["\n"]) { scalar in
      String(scalar).utf16.map { unit in
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }.joined()
    }
  }

  private func escapingHidden(but kept: Set<Unicode.Scalar>, _ escape: (Unicode.Scalar) -> String) -> String {
    if utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return self }
    var result = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      if scalar.isDisplayed || kept.contains(scalar) {
        result.append(scalar)
      } else {
        result.append(contentsOf: escape(scalar).unicodeScalars)
      }
    }
    return String(result)
  }
}

extension Unicode.Scalar {
  /// Whether a reader sees the character, and sees it where it is.
  public var isDisplayed: Bool {
    if (0x20...0x7E).contains(value) { return true }
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse: return false
    // Fillers look like nothing. Selectors only choose a form of the character before them.
    default: return !properties.isDefaultIgnorableCodePoint || properties.isVariationSelector
    }
  }

  /// `\u{1b}`
  public var escaped: String { "\\u{\(String(value, radix: 16))}" }
}

/// The offset of the first byte that is not part of valid UTF-8; nil where all are.
public func firstInvalidUTF8(in bytes: [UInt8]) -> Int? {
  do throws(UTF8.ValidationError) {
    _ = try UTF8Span(validating: bytes.span)
    return nil
  } catch {
    return error.byteOffsets.lowerBound
  }
}
