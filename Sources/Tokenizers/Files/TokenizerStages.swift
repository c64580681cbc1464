import StrictJSON

/// The stages of a `tokenizer.json` around the model, compared with what is implemented.
extension TokenizerDefinition {
  /// The members of a stage that may be absent, single, or a `Sequence` of others.
  static func stages(of value: JSONValue, listedAs list: String, in file: String) throws(TokenizerError) -> [JSONValue]
  {
    guard value != .null else { return [] }
    guard let type = value["type"].string else {
      throw .malformed("malformed tokenizer stage", in: file, expected: "an object with a type", found: value.kind)
    }
    guard type == "Sequence" else { return [value] }
    guard let members = value[list].array else {
      throw .malformed("malformed Sequence", in: file, expected: "an array \(list)", found: value[list].kind)
    }
    var stages: [JSONValue] = []
    for member in members { stages += try Self.stages(of: member, listedAs: list, in: file) }
    return stages
  }

  /// Checks that the normalizer is none at all.
  func requireNoNormalizer() throws(TokenizerError) {
    if let stage = try Self.stages(of: normalizer, listedAs: "normalizers", in: file).first {
      throw .unsupported("unsupported normalizer", in: file, expected: "none", found: stage.kind)
    }
  }

  /// Checks that the normalizer is CLIP's.
  func requireCLIPNormalizer() throws(TokenizerError) {
    let stages = try Self.stages(of: normalizer, listedAs: "normalizers", in: file)
    let isKnown =
      stages.count == 3 && stages[0]["type"].string == "NFC" && stages[1]["type"].string == "Replace"
      && stages[1]["pattern"]["Regex"].string == #"\s+"# && stages[1]["content"].string == " "
      && stages[2]["type"].string == "Lowercase"
    guard isKnown else {
      throw .unsupported(
        "unsupported normalizer", in: file, expected: #"NFC, Replace of \s+ by a space, Lowercase"#,
        found: stages.isEmpty ? "none" : stages.map { $0["type"].string ?? "?" }.joined(separator: ", "))
    }
  }

  /// Checks that the text is split by one of `patterns` and then mapped to bytes; answers the pattern.
  ///
  /// - Parameters:
  ///   - behavior: what becomes of the matches, with `invert` saying whether it is meant for what lies between.
  ///   - usesRegex: whether the byte mapping also splits by GPT-2's expression.
  func requirePreTokenizer(
    splittingBy patterns: [String], behavior: String, invert: Bool, usesRegex: Bool
  ) throws(TokenizerError) -> String {
    let stages = try Self.stages(of: preTokenizer, listedAs: "pretokenizers", in: file)
    for stage in stages where !["Split", "ByteLevel"].contains(stage["type"].string) {
      throw .unsupported(
        "unsupported pre-tokenizer", in: file, expected: "types \"Split\" and \"ByteLevel\"", found: stage.kind)
    }
    guard stages.map({ $0["type"].string }) == ["Split", "ByteLevel"] else {
      throw .unsupported(
        "unsupported pre-tokenizer", in: file, expected: "a Split, then a ByteLevel",
        found: stages.isEmpty ? "none" : stages.map { $0["type"].string ?? "?" }.joined(separator: ", then "))
    }
    let (split, byteLevel) = (stages[0], stages[1])
    guard let pattern = split["pattern"]["Regex"].string, patterns.contains(pattern) else {
      let found = split["pattern"]["Regex"].string ?? split["pattern"]["String"].string
      throw .unsupported(
        "unsupported pre-tokenizer pattern", in: file,
        expected: patterns.map { quoted($0) }.joined(separator: " or "),
        found: found.map { quoted($0) } ?? split["pattern"].kind)
    }
    let isInverted = try split["invert"].bool("invert", default: false, in: file)
    guard split["behavior"].string == behavior, isInverted == invert else {
      throw .unsupported(
        "unsupported Split", in: file, expected: "behavior \(quoted(behavior)), invert \(invert)",
        found: "\(split["behavior"].kind), invert \(isInverted)")
    }
    let addsSpace = try byteLevel["add_prefix_space"].bool("add_prefix_space", default: false, in: file)
    let splits = try byteLevel["use_regex"].bool("use_regex", default: true, in: file)
    guard !addsSpace, splits == usesRegex else {
      throw .unsupported(
        "unsupported ByteLevel", in: file, expected: "add_prefix_space false, use_regex \(usesRegex)",
        found: "add_prefix_space \(addsSpace), use_regex \(splits)")
    }
    return pattern
  }

  /// The tokens that the post-processor puts around every text; nil where it puts none.
  func surroundingTokens() throws(TokenizerError) -> (before: [Int32], after: [Int32])? {
    var result: (before: [Int32], after: [Int32])?
    for stage in try Self.stages(of: postProcessor, listedAs: "processors", in: file) {
      let added: (before: [Int32], after: [Int32])
      switch stage["type"].string {
      case "ByteLevel": continue
      case "TemplateProcessing": added = try templateTokens(stage)
      case "RobertaProcessing":
        added = ([try pairedID(stage["cls"], "cls")], [try pairedID(stage["sep"], "sep")])
      default:
        throw .unsupported(
          "unsupported post-processor", in: file,
          expected: "types \"ByteLevel\", \"TemplateProcessing\" or \"RobertaProcessing\"", found: stage.kind)
      }
      result = (added.before + (result?.before ?? []), (result?.after ?? []) + added.after)
    }
    return result
  }

  private func templateTokens(_ stage: JSONValue) throws(TokenizerError) -> (before: [Int32], after: [Int32]) {
    guard let pieces = stage["single"].array else {
      throw .malformed(
        "malformed TemplateProcessing", in: file, expected: "an array single", found: stage["single"].kind)
    }
    var tokens: (before: [Int32], after: [Int32]) = ([], [])
    var sequences = 0
    for piece in pieces {
      if piece["Sequence"] != .null {
        sequences += 1
      } else {
        let name = piece["SpecialToken"]["id"].string
        guard let name, let ids = stage["special_tokens"][name]["ids"].array else {
          throw .malformed(
            "malformed TemplateProcessing", in: file, expected: "a sequence or a token of special_tokens",
            found: name.map { quoted($0) } ?? piece.kind)
        }
        for id in ids {
          let id = try id.tokenID("a special token", in: file)
          if sequences == 0 { tokens.before.append(id) } else { tokens.after.append(id) }
        }
      }
    }
    guard sequences == 1 else {
      throw .unsupported(
        "unsupported TemplateProcessing", in: file, expected: "the text once", found: "it \(sequences) times")
    }
    return tokens
  }

  /// The id in a `["token", id]` pair.
  private func pairedID(_ pair: JSONValue, _ what: String) throws(TokenizerError) -> Int32 {
    guard let parts = pair.array, parts.count == 2 else {
      throw .malformed("malformed \(what)", in: file, expected: "a token and its id", found: pair.kind)
    }
    return try parts[1].tokenID(what, in: file)
  }
}
