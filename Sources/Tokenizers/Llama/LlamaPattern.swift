/// LLaMA-3's pre-tokenization, a hand-written matcher of its published regular expression.
///
/// The alternatives are tried in order and the first that matches wins, as in a backtracking engine; each
/// matches at least one scalar and together they cover every text, so a text is cut without gaps.
enum LlamaPattern {
  /// The expression as it stands in `tokenizer.json`.
  static let expression =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"#
    + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#

  /// Where the match that begins at `start` ends. `limit` is the end of the text.
  static func endOfPiece(at start: Int, before limit: Int, in text: ScalarText) -> Int {
    func run(of kind: CharacterClass, from position: Int, before limit: Int = limit) -> Int {
      var position = position
      while position < limit, text.classes[position] == kind { position += 1 }
      return position
    }
    let kind = text.classes[start]
    let next = start + 1 < limit ? text.classes[start + 1] : nil

    // (?i:'s|'t|'re|'ve|'m|'ll|'d)
    if text.scalars[start] == "'", let end = endOfContraction(after: start, before: limit, in: text) { return end }

    // [^\r\n\p{L}\p{N}]?\p{L}+
    if kind == .letter { return run(of: .letter, from: start) }
    if kind == .space || kind == .other, next == .letter { return run(of: .letter, from: start + 1) }

    // \p{N}{1,3}
    if kind == .number { return run(of: .number, from: start, before: min(start + 3, limit)) }

    //  ?[^\s\p{L}\p{N}]+[\r\n]*
    if kind == .other || text.scalars[start] == " " && next == .other {
      return run(of: .newline, from: run(of: .other, from: start + 1))
    }

    // \s*[\r\n]+: to the last line end of the white space.
    var end = start
    var lastNewline: Int?
    while end < limit, text.classes[end].isSpace {
      if text.classes[end] == .newline { lastNewline = end }
      end += 1
    }
    if let lastNewline { return lastNewline + 1 }

    // \s+(?!\S): all of it at the end of the text, else all but the last, which goes with what follows.
    // \s+: a single one.
    return end == limit || end == start + 1 ? end : end - 1
  }

  /// Case-insensitive matching folds `ſ` (U+017F) to `s`; no other letter here has a second folding.
  private static func endOfContraction(after apostrophe: Int, before limit: Int, in text: ScalarText) -> Int? {
    func lowercased(_ position: Int) -> Unicode.Scalar? {
      guard position < limit else { return nil }
      let scalar = text.scalars[position]
      return ("A"..."Z").contains(scalar) ? Unicode.Scalar(scalar.value + 0x20) : scalar
    }
    switch (lowercased(apostrophe + 1), lowercased(apostrophe + 2)) {
    case ("s", _), ("\u{17F}", _), ("t", _), ("m", _), ("d", _): return apostrophe + 2
    case ("r", "e"), ("v", "e"), ("l", "l"): return apostrophe + 3
    default: return nil
    }
  }
}
