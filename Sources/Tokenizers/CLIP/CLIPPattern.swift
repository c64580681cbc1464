/// CLIP's pre-tokenization, a hand-written matcher of its published regular expression.
///
/// White space matches nothing and is dropped. The library cuts each match again with GPT-2's expression; for
/// every alternative but the special tokens that changes nothing, and those it cuts into `<|`, the word, `|>`.
struct CLIPPattern: Sendable {
  /// The expression of the first published `tokenizer.json`.
  static let expression = #"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"#
  /// The expression of newer ones, also used for `vocab.json` and `merges.txt`.
  static let expressionWithSpecialTokens = #"<\|startoftext\|>|<\|endoftext\|>|"# + expression

  /// Whether the expression begins with the special tokens.
  var matchesSpecialTokens = true

  private static let specialTokens = ["<|startoftext|>", "<|endoftext|>"].map { Array($0.unicodeScalars) }

  /// Calls `body` with each pre-token of `range`.
  func forEachPiece(of range: Range<Int>, in text: ScalarText, _ body: (Range<Int>) -> Void) {
    var position = range.lowerBound
    while position < range.upperBound {
      if text.classes[position].isSpace {
        position += 1
      } else if let end = endOfSpecialToken(at: position, before: range.upperBound, in: text) {
        body(position..<position + 2)
        body(position + 2..<end - 2)
        body(end - 2..<end)
        position = end
      } else {
        let end = endOfPiece(at: position, before: range.upperBound, in: text)
        body(position..<end)
        position = end
      }
    }
  }

  private func endOfSpecialToken(at start: Int, before limit: Int, in text: ScalarText) -> Int? {
    guard matchesSpecialTokens, text.scalars[start] == "<" else { return nil }
    let rest = text.scalars[start..<limit]
    return Self.specialTokens.first { rest.starts(with: $0) }.map { start + $0.count }
  }

  /// The end of the match at `start`, which is not white space.
  private func endOfPiece(at start: Int, before limit: Int, in text: ScalarText) -> Int {
    if text.scalars[start] == "'" {
      switch (
        start + 1 < limit ? text.scalars[start + 1] : nil, start + 2 < limit ? text.scalars[start + 2] : nil
      ) {
      case ("s", _), ("t", _), ("m", _), ("d", _): return start + 2
      case ("r", "e"), ("v", "e"), ("l", "l"): return start + 3
      default: break
      }
    }
    let kind = text.classes[start]
    var end = start + 1
    while kind != .number, end < limit, text.classes[end] == kind { end += 1 }
    return end
  }
}
