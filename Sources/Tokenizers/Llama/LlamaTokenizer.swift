/// LLaMA-3's byte-level tokenizer, from a `tokenizer.json` or Meta's `tokenizer.model`.
///
/// The text is taken as it is: special tokens in it are recognised, the rest is cut by the published regular
/// expression and each piece encoded by its bytes.
///
/// ```swift
/// let tokenizer = try LlamaTokenizer(folder: "ckpts/text_encoder")
/// let prompt = PromptTemplate.video.tokenize("A cat walks on the grass.", with: tokenizer, limit: 351)
/// ```
public struct LlamaTokenizer: Sendable {
  /// The file the tokenizer was read from.
  public let file: String
  /// One more than the largest id: how many rows the embedding table must have.
  public let vocabularySize: Int
  /// The id of the padding token, where the configuration names one.
  public let padID: Int32?
  /// The ids put in front of every text: normally the begin-of-text token alone.
  public let prefixIDs: [Int32]
  /// The ids put behind every text: normally none.
  public let suffixIDs: [Int32]

  private let definition: TokenizerDefinition
  private let givenTokens: AddedTokens
  private let normalizedTokens: AddedTokens

  /// Reads `tokenizer.json`, or `tokenizer.model` where there is none, and, where they exist, `tokenizer_config.json` and
  /// `special_tokens_map.json`.
  ///
  /// - Throws: ``TokenizerError`` naming the file and what is wrong: it is missing, malformed, contradicts itself, or
  ///   describes another kind of tokenizer.
  public init(folder: String) throws(TokenizerError) {
    let file = TokenizerFiles.path("tokenizer.json", in: folder)
    let ranks = TokenizerFiles.path("tokenizer.model", in: folder)
    let configuration = try TokenizerConfiguration(folder: folder)
    if !TokenizerFiles.exists(file), TokenizerFiles.exists(ranks) {
      let definition = try TokenizerDefinition(ranks: ranks, configuration)
      guard let begin = definition.id(of: "<|begin_of_text|>") else {
        preconditionFailure("LLaMA tokenizer: its own special tokens have no begin")
      }
      try self.init(definition, configuration, around: ([begin], []))
    } else {
      let definition = try TokenizerDefinition(parsing: TokenizerFiles.contents(of: file), file: file)
      try self.init(checking: definition, configuration)
    }
  }

  /// A tokenizer of a `tokenizer.json`, whose stages must be LLaMA-3's.
  private init(
    checking definition: TokenizerDefinition, _ configuration: TokenizerConfiguration
  ) throws(TokenizerError) {
    try definition.requireNoNormalizer()
    _ = try definition.requirePreTokenizer(
      splittingBy: [LlamaPattern.expression], behavior: "Isolated", invert: false, usesRegex: false)
    guard definition.model.options.endOfWordSuffix.isEmpty else {
      throw .unsupported(
        "unsupported tokenizer model", in: definition.file, expected: "no end_of_word_suffix",
        found: quoted(definition.model.options.endOfWordSuffix))
    }
    var tokens: (before: [Int32], after: [Int32]) = ([], [])
    if let found = try definition.surroundingTokens() {
      tokens = found
      if configuration.addsBeginToken == false, !found.before.isEmpty {
        throw .inconsistent(
          "the begin token is not agreed on", in: configuration.file,
          expected: "add_bos_token true, as the post_processor of \(definition.file) adds it", found: "false")
      }
    } else if configuration.addsBeginToken == true {
      guard let begin = try Self.id(of: "bos_token", definition, configuration) else {
        throw .inconsistent(
          "the begin token is not named", in: definition.file, expected: "a bos_token, as add_bos_token is true",
          found: "none")
      }
      tokens = ([begin], [])
    }
    try self.init(definition, configuration, around: tokens)
  }

  private init(
    _ definition: TokenizerDefinition, _ configuration: TokenizerConfiguration,
    around tokens: (before: [Int32], after: [Int32])
  ) throws(TokenizerError) {
    try configuration.requireTokens(of: definition)
    try configuration.requireLowerCase(false)
    self.definition = definition
    file = definition.file
    padID = try Self.id(of: "pad_token", definition, configuration)
    (prefixIDs, suffixIDs) = tokens
    vocabularySize = definition.vocabularySize
    func added(normalized: Bool) -> AddedTokens {
      AddedTokens(
        definition.addedTokens.filter { $0.isNormalized == normalized }
          .map { (content: Array($0.content.unicodeScalars), id: $0.id) })
    }
    givenTokens = added(normalized: false)
    normalizedTokens = added(normalized: true)
  }

  /// The id of the token that the configuration has for a role; nil where it has none.
  private static func id(
    of role: String, _ definition: TokenizerDefinition, _ configuration: TokenizerConfiguration
  ) throws(TokenizerError) -> Int32? {
    guard let token = configuration.specialTokens[role] else { return nil }
    if let id = definition.id(of: token.content) { return id }
    throw .inconsistent(
      "a special token is unknown", in: definition.file, expected: "an id for the \(role) \(quoted(token.content))",
      found: "none")
  }

  /// The id of a token, added or of the vocabulary, by its text.
  public func id(of token: String) -> Int32? { definition.id(of: token) }

  /// The ids of a text, cut at the right to `limit` tokens.
  ///
  /// - Precondition: `limit` has room for ``prefixIDs`` and ``suffixIDs``.
  public func tokenize(_ text: String, limit: Int? = nil) -> TokenizedText {
    tokenize(text, limit: limit, prefixCount: 0, prompt: 0..<text.utf8.count)
  }

  func tokenize(_ text: String, limit: Int?, prefixCount: Int, prompt: Range<Int>) -> TokenizedText {
    TokenizedText(
      tokens(of: text), before: prefixIDs, after: suffixIDs, limit: limit, prefixCount: prefixCount, prompt: prompt,
      of: text)
  }

  private func tokens(of text: String) -> [SourcedToken] {
    let text = ScalarText(text)
    var encoder = PieceEncoder(model: definition.model)
    // As in the library, tokens that want the normalized text are looked for last, though it is the same text here.
    for (outer, id) in givenTokens.segments(of: 0..<text.count, in: text) {
      if let id {
        encoder.append(id, for: outer, in: text)
        continue
      }
      for (inner, id) in normalizedTokens.segments(of: outer, in: text) {
        if let id {
          encoder.append(id, for: inner, in: text)
          continue
        }
        var start = inner.lowerBound
        while start < inner.upperBound {
          let end = LlamaPattern.endOfPiece(at: start, before: inner.upperBound, in: text)
          encoder.encode(start..<end, of: text)
          start = end
        }
      }
    }
    return encoder.tokens
  }
}
