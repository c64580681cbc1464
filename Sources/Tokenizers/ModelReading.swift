// How the large parts of a `tokenizer.json` are read: straight into their tables, without a tree between.

extension BytePairModel {
  /// Reads the `model` of a `tokenizer.json`.
  init(from scanner: inout JSONScanner) throws(TokenizerError) {
    let file = scanner.file
    var settings: [String: JSONValue] = [:]
    var vocabulary: TokenTable?
    var merges: MergeTable?
    var mergesPosition: Int?
    try scanner.beginObject("the model")
    while let key = try scanner.nextKey() {
      switch key {
      case "vocab":
        guard vocabulary == nil else { throw scanner.problem("one vocabulary") }
        vocabulary = try TokenTable(from: &scanner)
      case "merges":
        guard mergesPosition == nil else { throw scanner.problem("one list of merges") }
        mergesPosition = scanner.position
        if let vocabulary {
          merges = try MergeTable(from: &scanner, vocabulary: vocabulary)
        } else {
          try scanner.skipValue()
        }
      default: settings[key] = try scanner.readValue()
      }
    }
    guard let vocabulary, let mergesPosition else {
      throw .malformed(
        "incomplete tokenizer", in: file, expected: "a model with vocab and merges",
        found: vocabulary == nil ? "no vocab" : "no merges")
    }
    if merges == nil {
      // The merges came before the vocabulary they refer to.
      let end = scanner.position
      scanner.position = mergesPosition
      merges = try MergeTable(from: &scanner, vocabulary: vocabulary)
      scanner.position = end
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
  init(from scanner: inout JSONScanner) throws(TokenizerError) {
    self.init()
    var token: [UInt8] = []
    try scanner.beginObject("the vocabulary")
    while try scanner.nextKey(into: &token) {
      let id = try checkedTokenID(scanner.readInteger("a token id"), of: "a token", in: scanner.file)
      guard insert(token.span, id: id) else {
        throw .inconsistent(
          "a token occurs twice", in: scanner.file, expected: "each token once in the vocabulary",
          found: quoted(String(decoding: token, as: UTF8.self)))
      }
    }
  }
}

extension MergeTable {
  /// Reads the `merges` of a `tokenizer.json`.
  init(from scanner: inout JSONScanner, vocabulary: TokenTable) throws(TokenizerError) {
    self.init()
    reserveCapacity(vocabulary.count)
    try read(from: &scanner, vocabulary: vocabulary)
  }
}
