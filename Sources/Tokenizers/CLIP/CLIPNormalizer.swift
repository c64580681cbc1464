/// CLIP's text cleaning: normalization form C, white space runs to one space, lower case.
enum CLIPNormalizer {
  /// The normalized form of a range of a text.
  ///
  /// Lower case is taken character by character: `İ` becomes two scalars, and `Σ` never the final `ς`.
  static func normalize(_ range: Range<Int>, of text: ScalarText) -> ScalarText {
    var result = ScalarText()
    var space: Range<Int>?
    for element in CanonicalComposition.normalize(range, of: text) {
      if CharacterClass(element.scalar).isSpace {
        space = (space ?? element.source).lowerBound..<element.source.upperBound
        continue
      }
      if let source = space { result.append(" ", from: source) }
      space = nil
      if element.scalar.isASCII {
        let isUpper = ("A"..."Z").contains(element.scalar)
        result.append(
          isUpper ? Unicode.Scalar(UInt8(element.scalar.value) + 0x20) : element.scalar, from: element.source)
      } else if element.scalar.properties.changesWhenLowercased {
        for scalar in element.scalar.properties.lowercaseMapping.unicodeScalars {
          result.append(scalar, from: element.source)
        }
      } else {
        result.append(element.scalar, from: element.source)
      }
    }
    if let source = space { result.append(" ", from: source) }
    return result
  }

  /// The normalized form of a token's content.
  static func normalize(_ content: String) -> [Unicode.Scalar] {
    let text = ScalarText(content)
    return normalize(0..<text.count, of: text).scalars
  }
}
