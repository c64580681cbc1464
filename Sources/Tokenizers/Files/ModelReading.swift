import StrictJSON

// How the large parts of a `tokenizer.json` are read: straight into their tables, without a tree between.

extension BytePairModel {
  /// Reads the `model` of a `tokenizer.json`.
  init(from cursor: inout JSONCursor<TokenizerError>, file: String) throws(TokenizerError) {
    var settings: [String: JSONValue] = [:]
    var vocabulary: TokenTable?
    var merges: MergeTable?
    var mergesCursor: JSONCursor<TokenizerError>?
    try cursor.beginObject("an object for the model")
    while let key = try cursor.nextName() {
      switch key {
      case "vocab":
        guard vocabulary == nil else { throw cursor.malformed("one vocabulary", found: "a second") }
        vocabulary = try TokenTable(from: &cursor, file: file)
      case "merges":
        guard mergesCursor == nil else { throw cursor.malformed("one list of merges", found: "a second") }
        mergesCursor = cursor
        if let vocabulary {
          merges = try MergeTable(from: &cursor, vocabulary: vocabulary, file: file)
        } else {
          try cursor.skipValue()
        }
      default: settings[key] = try cursor.readValue()
      }
    }
    guard let vocabulary, var mergesCursor else {
      throw .malformed(
        "incomplete tokenizer", in: file, expected: "a model with vocab and merges",
        found: vocabulary == nil ? "no vocab" : "no merges")
    }
    if merges == nil {
      // The merges came before the vocabulary they refer to.
      merges = try MergeTable(from: &mergesCursor, vocabulary: vocabulary, file: file)
    }
    try self.init(
      vocabulary: vocabulary, merges: merges ?? MergeTable(), options: Options(checking: settings, in: file), file: file
    )
  }
}

extension BytePairModel.Options {
  /// Reads the model's settings, and refuses those that would change the result in ways not implemented.
  init(checking settings: [String: JSONValue], in file: String) throws(TokenizerError) {
    let settings = JSONValue.object(settings)
    let type = try settings["type"].optionalString("the model's type", in: file) ?? "BPE"
    guard type == "BPE" else {
      throw .unsupported("unsupported tokenizer model", in: file, expected: "type \"BPE\"", found: quoted(type))
    }
    for flag in ["fuse_unk", "byte_fallback"] where try settings[flag].bool(flag, default: false, in: file) {
      throw .unsupported("unsupported tokenizer model", in: file, expected: "\(flag) false", found: "true")
    }
    switch settings["dropout"] {
    case .null, .integer(0), .number(0): break
    default:
      throw .unsupported(
        "unsupported tokenizer model", in: file, expected: "no dropout", found: settings["dropout"].kind)
    }
    let prefix = try settings["continuing_subword_prefix"].optionalString("continuing_subword_prefix", in: file)
    guard prefix == nil || prefix == "" else {
      throw .unsupported(
        "unsupported tokenizer model", in: file, expected: "no continuing_subword_prefix", found: quoted(prefix ?? ""))
    }
    endOfWordSuffix = try settings["end_of_word_suffix"].optionalString("end_of_word_suffix", in: file) ?? ""
    unknownToken = try settings["unk_token"].optionalString("unk_token", in: file)
    ignoresMerges = try settings["ignore_merges"].bool("ignore_merges", default: false, in: file)
  }
}

extension TokenTable {
  /// Reads an object of tokens and their ids.
  init(from cursor: inout JSONCursor<TokenizerError>, file: String) throws(TokenizerError) {
    self.init()
    var token: [UInt8] = []
    try cursor.beginObject("an object for the vocabulary")
    while try cursor.nextName(into: &token) {
      let id = try checkedTokenID(cursor.readInteger("an integer for a token id"), of: "a token", in: file)
      guard insert(token.span, id: id) else {
        throw .inconsistent(
          "a token occurs twice", in: file, expected: "each token once in the vocabulary",
          found: quoted(String(decoding: token, as: UTF8.self)))
      }
    }
  }
}

extension MergeTable {
  /// Reads the `merges` of a `tokenizer.json`.
  init(
    from cursor: inout JSONCursor<TokenizerError>, vocabulary: TokenTable, file: String
  ) throws(TokenizerError) {
    self.init()
    reserveCapacity(vocabulary.count)
    try read(from: &cursor, vocabulary: vocabulary, file: file)
  }
}
