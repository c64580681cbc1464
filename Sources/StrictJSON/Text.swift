extension String {
  /// The text fit for a message: control characters escaped, and cut where a file claims an absurdly long name.
  public var oneLine: String {
    var result = ""
    for (position, scalar) in unicodeScalars.enumerated() {
      if position == 240 { return result + "…" }
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse:
        result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
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
