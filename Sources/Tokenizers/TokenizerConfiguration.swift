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
  private(set) var maximumLength: Int?

  init(folder: String) throws(TokenizerError) {
    let mapFile = TokenizerFiles.path("special_tokens_map.json", in: folder)
    let file = TokenizerFiles.path("tokenizer_config.json", in: folder)
    try readSpecialTokens(TokenizerFiles.optionalObject(at: mapFile), in: mapFile)
    let configuration = try TokenizerFiles.optionalObject(at: file)
    try readSpecialTokens(configuration, in: file)

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
