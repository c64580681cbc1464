import StrictJSON

/// CLIP's tokenizer, from `vocab.json` and `merges.txt` or from a `tokenizer.json`.
///
/// The text is normalized (form C, single spaces, lower case), cut by the published regular expression, and each piece
/// encoded by its bytes with `</w>` at its end. Gives the ids of the `tokenizers` library (the "fast" tokenizer).
public struct CLIPTokenizer: Sendable {
  /// The file the vocabulary was read from.
  public let file: String
  /// One more than the largest id: how many rows the embedding table must have.
  public let vocabularySize: Int
  /// The id of `<|startoftext|>`.
  public let beginID: Int32
  /// The id of `<|endoftext|>`.
  public let endID: Int32
  /// The id of the padding token, normally ``endID``.
  public let padID: Int32
  /// The most tokens the text encoder takes, begin and end included: 77 unless the configuration says otherwise.
  public let maximumLength: Int

  private let definition: TokenizerDefinition
  private let pattern: CLIPPattern
  private let givenTokens: AddedTokens
  private let normalizedTokens: AddedTokens

  /// Reads `vocab.json` and `merges.txt`, or `tokenizer.json` where those two do not exist, and the configuration files
  /// beside them.
  ///
  /// - Throws: ``TokenizerError`` naming the file and what is wrong: it is missing, malformed, contradicts itself, or
  ///   describes another kind of tokenizer.
  public init(folder: String) throws(TokenizerError) {
    let configuration = try TokenizerConfiguration(folder: folder)
    let vocabulary = TokenizerFiles.path("vocab.json", in: folder)
    let merges = TokenizerFiles.path("merges.txt", in: folder)
    let combined = TokenizerFiles.path("tokenizer.json", in: folder)
    let hasPair = TokenizerFiles.exists(vocabulary) && TokenizerFiles.exists(merges)
    if !hasPair, TokenizerFiles.exists(combined) {
      let definition = try TokenizerDefinition(parsing: TokenizerFiles.contents(of: combined), file: combined)
      try self.init(definition, configuration)
    } else {
      let definition = try TokenizerDefinition(vocabulary: vocabulary, merges: merges, configuration)
      try self.init(
        definition, configuration, pattern: CLIPPattern(), tokens: Self.namedTokens(in: definition, configuration))
    }
  }

  private init(
    _ definition: TokenizerDefinition, _ configuration: TokenizerConfiguration
  ) throws(TokenizerError) {
    try definition.requireCLIPNormalizer()
    let expression = try definition.requirePreTokenizer(
      splittingBy: [CLIPPattern.expression, CLIPPattern.expressionWithSpecialTokens], behavior: "Removed", invert: true,
      usesRegex: true)
    guard definition.model.options.endOfWordSuffix == "</w>" else {
      throw .unsupported(
        "unsupported tokenizer model", in: definition.file, expected: "end_of_word_suffix \"</w>\"",
        found: quoted(definition.model.options.endOfWordSuffix))
    }
    let tokens: (before: [Int32], after: [Int32])
    if let found = try definition.surroundingTokens() {
      tokens = found
    } else {
      let (begin, end) = try Self.namedTokens(in: definition, configuration)
      tokens = ([begin], [end])
    }
    guard tokens.before.count == 1, tokens.after.count == 1 else {
      throw .unsupported(
        "unsupported post-processor", in: definition.file, expected: "one token before the text and one after it",
        found: "\(tokens.before.count) and \(tokens.after.count)")
    }
    try self.init(
      definition, configuration,
      pattern: CLIPPattern(matchesSpecialTokens: expression == CLIPPattern.expressionWithSpecialTokens),
      tokens: (tokens.before[0], tokens.after[0]))
  }

  private init(
    _ definition: TokenizerDefinition, _ configuration: TokenizerConfiguration, pattern: CLIPPattern,
    tokens: (begin: Int32, end: Int32)
  ) throws(TokenizerError) {
    try configuration.requireTokens(of: definition)
    try configuration.requireLowerCase(true)
    self.definition = definition
    self.pattern = pattern
    file = definition.file
    (beginID, endID) = tokens
    let pad = configuration.specialTokens["pad_token"]?.content
    if let pad {
      guard let id = definition.id(of: pad) else { throw Self.unknownToken(pad, "pad_token", in: file) }
      padID = id
    } else {
      padID = endID
    }
    maximumLength = configuration.maximumLength ?? 77
    vocabularySize = definition.vocabularySize
    givenTokens = AddedTokens(
      definition.addedTokens.filter { !$0.isNormalized }.map { (Array($0.content.unicodeScalars), $0.id) })
    normalizedTokens = AddedTokens(
      definition.addedTokens.filter(\.isNormalized).map { (CLIPNormalizer.normalize($0.content), $0.id) })
  }

  /// The id of a token, added or of the vocabulary, by its text.
  public func id(of token: String) -> Int32? { definition.id(of: token) }

  /// The ids of a text between ``beginID`` and ``endID``, cut to `limit` tokens (default ``maximumLength``) in a way
  /// that keeps ``endID`` last.
  ///
  /// - Precondition: `limit` is at least 2.
  public func tokenize(_ text: String, limit: Int? = nil) -> TokenizedText {
    TokenizedText(
      tokens(of: text), before: [beginID], after: [endID], limit: limit ?? maximumLength, prefixCount: 0,
      prompt: 0..<text.utf8.count, of: text)
  }

  private func tokens(of text: String) -> [SourcedToken] {
    let given = ScalarText(text)
    var encoder = PieceEncoder(model: definition.model)
    for (outer, id) in givenTokens.segments(of: 0..<given.count, in: given) {
      if let id {
        encoder.append(id, for: outer, in: given)
        continue
      }
      let normalized = CLIPNormalizer.normalize(outer, of: given)
      for (inner, id) in normalizedTokens.segments(of: 0..<normalized.count, in: normalized) {
        if let id {
          encoder.append(id, for: inner, in: normalized)
          continue
        }
        pattern.forEachPiece(of: inner, in: normalized) { encoder.encode($0, of: normalized) }
      }
    }
    return encoder.tokens
  }

  private static func namedTokens(
    in definition: TokenizerDefinition, _ configuration: TokenizerConfiguration
  ) throws(TokenizerError) -> (begin: Int32, end: Int32) {
    func id(_ role: String, _ fallback: String) throws(TokenizerError) -> Int32 {
      let token = configuration.specialTokens[role]?.content ?? fallback
      guard let id = definition.id(of: token) else { throw unknownToken(token, role, in: definition.file) }
      return id
    }
    return (try id("bos_token", "<|startoftext|>"), try id("eos_token", "<|endoftext|>"))
  }

  private static func unknownToken(_ token: String, _ role: String, in file: String) -> TokenizerError {
    .inconsistent(
      "a special token is unknown", in: file, expected: "an id for the \(role) \(quoted(token))", found: "none")
  }
}

extension TokenizerDefinition {
  /// CLIP's older pair of files: a vocabulary in JSON and a text file of merges, one a line.
  init(
    vocabulary vocabularyFile: String, merges mergesFile: String, _ configuration: TokenizerConfiguration
  ) throws(TokenizerError) {
    var cursor = try JSONCursor(TokenizerFiles.contents(of: vocabularyFile), file: vocabularyFile)
    let vocabulary = try TokenTable(from: &cursor, file: vocabularyFile)
    try cursor.finish()

    var bytes = try TokenizerFiles.contents(of: mergesFile)
    // Windows' editors leave a byte order mark.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
    if let offset = firstInvalidUTF8(in: bytes) {
      throw .malformed(
        "invalid UTF-8", in: mergesFile, expected: "UTF-8 text", found: "a wrong byte at offset \(offset)")
    }
    var merges = MergeTable()
    merges.reserveCapacity(vocabulary.count)
    for line in bytes.split(separator: UInt8(ascii: "\n")) where !line.starts(with: "#version".utf8) {
      let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      if !line.isEmpty { try merges.append(line: line, in: vocabulary, file: mergesFile) }
    }

    let unknown = configuration.specialTokens["unk_token"]?.content ?? "<|endoftext|>"
    let model = try BytePairModel(
      vocabulary: vocabulary, merges: merges,
      options: .init(endOfWordSuffix: "</w>", unknownToken: unknown), file: vocabularyFile)

    var added = configuration.addedTokens
    for (role, fallback) in [("bos_token", "<|startoftext|>"), ("eos_token", "<|endoftext|>")] {
      let content = configuration.specialTokens[role]?.content ?? fallback
      if !added.contains(where: { $0.content == content }), let id = vocabulary.id(of: content) {
        added.append(AddedToken(content: content, id: id, isNormalized: configuration.isNormalized(content)))
      }
    }
    try self.init(model: model, addedTokens: added, file: vocabularyFile)
  }
}
