import StrictJSON

/// What a `tokenizer.json` says.
///
/// The vocabulary and merges are read into their tables; the small parts stay trees, for the tokenizers to
/// compare with what they implement.
struct TokenizerDefinition {
  let file: String
  var model: BytePairModel
  var addedTokens: [AddedToken]
  var normalizer: JSONValue = .null
  var preTokenizer: JSONValue = .null
  var postProcessor: JSONValue = .null

  /// Parses a `tokenizer.json`.
  ///
  /// `truncation` and `padding` are left aside: they are the last caller's settings, not the tokenizer's.
  init(parsing bytes: [UInt8], file: String) throws(TokenizerError) {
    self.file = file
    var cursor = try JSONCursor(bytes, file: file)
    var model: BytePairModel?
    var parts: [String: JSONValue] = [:]
    try cursor.beginObject("an object for the tokenizer")
    while let key = try cursor.nextName() {
      switch key {
      case "model":
        guard model == nil else { throw cursor.malformed("one model", found: "a second") }
        model = try BytePairModel(from: &cursor, file: file)
      case "added_tokens", "normalizer", "pre_tokenizer", "post_processor":
        guard parts.updateValue(try cursor.readValue(), forKey: key) == nil else {
          throw cursor.malformed("one \(key)", found: "a second")
        }
      default: try cursor.skipValue()
      }
    }
    try cursor.finish()
    guard let model else {
      throw .malformed("incomplete tokenizer", in: file, expected: "a model", found: "none")
    }
    self.model = model
    normalizer = parts["normalizer"] ?? .null
    preTokenizer = parts["pre_tokenizer"] ?? .null
    postProcessor = parts["post_processor"] ?? .null
    addedTokens = try Self.addedTokens(parts["added_tokens"] ?? .null, in: file)
    try checkAddedTokens()
  }

  /// A tokenizer put together from other files.
  init(model: BytePairModel, addedTokens: [AddedToken], file: String) throws(TokenizerError) {
    self.model = model
    self.addedTokens = addedTokens
    self.file = file
    try checkAddedTokens()
  }

  /// The id of a token, added or of the vocabulary.
  func id(of token: String) -> Int32? {
    addedTokens.first { $0.content.utf8.elementsEqual(token.utf8) }?.id ?? model.vocabulary.id(of: token)
  }

  /// One more than the largest id: how many rows the embedding table needs.
  var vocabularySize: Int {
    Int(max(model.vocabulary.ids.max() ?? -1, addedTokens.map(\.id).max() ?? -1)) + 1
  }

  /// Reads the entries of `added_tokens`.
  static func addedTokens(_ value: JSONValue, in file: String) throws(TokenizerError) -> [AddedToken] {
    if value == .null { return [] }
    guard let entries = value.array else {
      throw .malformed("wrong type of added_tokens", in: file, expected: "an array", found: value.kind)
    }
    var tokens: [AddedToken] = []
    for entry in entries {
      tokens.append(try addedToken(entry, id: entry["id"].tokenID("an added token", in: file), in: file))
    }
    return tokens
  }

  /// Reads one added token.
  static func addedToken(_ entry: JSONValue, id: Int32, in file: String) throws(TokenizerError) -> AddedToken {
    guard let content = entry["content"].string, !content.isEmpty else {
      throw .malformed(
        "malformed added token", in: file, expected: "a text for token \(id)", found: entry["content"].kind)
    }
    for flag in ["single_word", "lstrip", "rstrip"]
    where try entry[flag].bool("\(flag) of \(quoted(content))", default: false, in: file) {
      throw .unsupported("unsupported added token", in: file, expected: "no \(flag)", found: "it at \(quoted(content))")
    }
    let isSpecial = try entry["special"].bool("special of \(quoted(content))", default: false, in: file)
    let isNormalized = try entry["normalized"].bool(
      "normalized of \(quoted(content))", default: !isSpecial, in: file)
    return AddedToken(content: content, id: id, isNormalized: isNormalized)
  }

  /// Checks that added tokens agree with the vocabulary and with each other.
  private func checkAddedTokens() throws(TokenizerError) {
    let known = Set(model.vocabulary.ids)
    var contents: [Int32: String] = [:]
    for token in addedTokens {
      if let other = contents.updateValue(token.content, forKey: token.id), other != token.content {
        throw .inconsistent(
          "a token id is used twice", in: file, expected: "one added token for id \(token.id)",
          found: "\(quoted(other)) and \(quoted(token.content))")
      }
      let vocabularyID = model.vocabulary.id(of: token.content)
      guard vocabularyID == token.id || vocabularyID == nil && !known.contains(token.id) else {
        throw .inconsistent(
          "an added token contradicts the vocabulary", in: file,
          expected: vocabularyID.map { "id \($0) for \(quoted(token.content))" }
            ?? "an id for \(quoted(token.content)) that no other token has",
          found: "id \(token.id)")
      }
    }
  }
}
