import StrictJSON

/// What `tokenizer_config.json` and `special_tokens_map.json` say beside a tokenizer.
///
/// Both may be missing. The tokenizer class named there is ignored: the published text encoder names one whose
/// current implementation gives wrong ids for it.
struct TokenizerConfiguration {
  /// A special token by the name of its role.
  struct SpecialToken {
    var content: String
    var isNormalized = false
  }

  private(set) var specialTokens: [String: SpecialToken] = [:]
  private(set) var addedTokens: [AddedToken] = []
  private(set) var addsBeginToken: Bool?
  private(set) var lowersCase: Bool?
  /// Special tokens without a role.
  private(set) var otherTokens: [String] = []
  /// `tokenizer_config.json`.
  let file: String
  private(set) var maximumLength: Int?

  init(folder: String) throws(TokenizerError) {
    let mapFile = TokenizerFiles.path("special_tokens_map.json", in: folder)
    let file = TokenizerFiles.path("tokenizer_config.json", in: folder)
    self.file = file
    let map = try TokenizerFiles.optionalObject(at: mapFile)
    try readSpecialTokens(map, in: mapFile)
    let configuration = try TokenizerFiles.optionalObject(at: file)
    try readSpecialTokens(configuration, in: file)
    for (object, place) in [(map, mapFile), (configuration, file)] {
      try TokenizerSettings.check(object, in: place)
      otherTokens += TokenizerSettings.tokens(object)
    }
    if configuration["do_lower_case"] != .null {
      lowersCase = try configuration["do_lower_case"].bool("do_lower_case", default: false, in: file)
    }

    if configuration["add_bos_token"] != .null {
      addsBeginToken = try configuration["add_bos_token"].bool("add_bos_token", default: false, in: file)
    }
    // A huge number, often 1e30, stands for "no limit".
    if let length = configuration["model_max_length"].int, length < tokenIDLimit {
      guard length > 2 else {
        throw .malformed(
          "model_max_length out of range", in: file, expected: "more than 2 tokens", found: "\(length)")
      }
      maximumLength = length
    }
    for (key, entry) in configuration["added_tokens_decoder"].object ?? [:] {
      guard let id = Int(key) else {
        throw .malformed("malformed added_tokens_decoder", in: file, expected: "ids as keys", found: quoted(key))
      }
      let token = try TokenizerDefinition.addedToken(
        entry, id: checkedTokenID(id, of: "an added token", in: file), in: file)
      addedTokens.append(token)
    }
    addedTokens.sort { $0.id < $1.id }
  }

  /// Whether a special token is looked for in the normalized text.
  ///
  /// Where roles that share a token disagree, as in CLIP's published files, the library follows the last of them.
  func isNormalized(_ content: String) -> Bool {
    Self.roles.reversed().lazy.compactMap { specialTokens[$0] }.first { $0.content == content }?.isNormalized ?? false
  }

  /// Checks that the tokenizer has every token that the configuration adds, under the id that it is given there: the library
  /// would add the others.
  /// - Throws: `TokenizerError.inconsistent`.
  func requireTokens(of definition: TokenizerDefinition) throws(TokenizerError) {
    for token in addedTokens where definition.id(of: token.content) != token.id {
      throw .inconsistent(
        "an added token is not the tokenizer's", in: file,
        expected: definition.id(of: token.content).map { "id \($0) for \(quoted(token.content))" }
          ?? "tokens of \(definition.file)", found: "\(quoted(token.content)) with id \(token.id)")
    }
    for content in otherTokens where definition.id(of: content) == nil {
      throw .inconsistent(
        "a special token is unknown", in: file, expected: "tokens of \(definition.file)", found: quoted(content))
    }
  }

  /// - Throws: `TokenizerError.unsupported` where `do_lower_case` says something else than what is done.
  func requireLowerCase(_ lowers: Bool) throws(TokenizerError) {
    guard let lowersCase, lowersCase != lowers else { return }
    throw .unsupported(
      "unsupported tokenizer setting", in: file, expected: "do_lower_case \(lowers)", found: "\(lowersCase)")
  }

  private static let roles = ["bos_token", "eos_token", "unk_token", "pad_token"]

  private mutating func readSpecialTokens(_ object: JSONValue, in file: String) throws(TokenizerError) {
    for role in Self.roles {
      switch object[role] {
      case .null: continue
      case .string(let content): specialTokens[role] = SpecialToken(content: content)
      case .object(let token):
        guard let content = token["content"]?.string else { fallthrough }
        specialTokens[role] = SpecialToken(content: content, isNormalized: token["normalized"]?.bool ?? false)
      default:
        throw .malformed("wrong type of \(role)", in: file, expected: "a token", found: object[role].kind)
      }
    }
  }
}
