/// A text as token ids, with what had to be cut off to keep within a limit.
public struct TokenizedText: Equatable, Sendable {
  /// The token ids that are kept, special tokens included, without padding.
  public let ids: [Int32]
  /// How many of the first ids belong to a prompt template (and the begin token before it). 0 without a template.
  public let prefixCount: Int
  /// How many tokens the whole text takes, special tokens included.
  public let count: Int
  /// The most tokens that are kept; nil where there is no limit.
  public let limit: Int?
  /// The part of the text that was lost: nil where nothing was cut, empty where only tokens after it were.
  public let cutText: String?

  /// Whether tokens were cut off.
  public var isTruncated: Bool { ids.count < count }

  /// The ids after the template's prefix: the ones whose hidden states are used.
  public var promptIDs: ArraySlice<Int32> { ids.dropFirst(prefixCount) }

  /// The ids filled up to `length` with `padID`.
  ///
  /// - Precondition: `length` is at least the number of ids.
  public func padded(to length: Int, with padID: Int32) -> PaddedTokens {
    precondition(length >= ids.count, "padding to \(length) tokens, but there are \(ids.count)")
    return PaddedTokens(
      ids: ids + repeatElement(padID, count: length - ids.count), validCount: ids.count)
  }
}

/// Token ids of a fixed length, of which the first ``validCount`` mean something.
public struct PaddedTokens: Equatable, Sendable {
  /// The token ids, padding included.
  public let ids: [Int32]
  /// How many of them come from the text.
  public let validCount: Int
}

/// A token and the bytes of the text it stands for.
struct SourcedToken {
  var id: Int32
  /// UTF-8 offsets, widened to whole characters where a token holds part of one.
  var source: Range<Int>
}

extension TokenizedText {
  /// Puts the tokens that surround every text around `tokens`, cutting these at the right to keep within `limit`.
  ///
  /// - Parameters:
  ///   - prefixCount: tokens of the template in front of the prompt, without `before`.
  ///   - prompt: the UTF-8 range of `text` that is the user's, for ``cutText``.
  init(
    _ tokens: [SourcedToken], before: [Int32], after: [Int32], limit: Int?, prefixCount: Int, prompt: Range<Int>,
    of text: String
  ) {
    let surrounding = before.count + after.count
    precondition(limit ?? surrounding >= surrounding, "a limit of less than the \(surrounding) special tokens")
    let kept = min(tokens.count, (limit ?? .max) - surrounding)
    ids = before + tokens[..<kept].map(\.id) + after
    count = tokens.count + surrounding
    self.limit = limit
    self.prefixCount = prefixCount
    if kept < tokens.count {
      let start = max(tokens[kept].source.lowerBound, prompt.lowerBound)
      cutText = String(decoding: Array(text.utf8)[min(start, prompt.upperBound)..<prompt.upperBound], as: UTF8.self)
    } else {
      cutText = nil
    }
  }
}
