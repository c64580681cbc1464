import StrictJSON

// How tokenizers read JSON: every error names the file.

extension TokenizerError {
  /// Makes the errors of a cursor over the text of `file`.
  static func malformedJSON(in file: String) -> (JSONError) -> TokenizerError {
    { error in
      .malformed(
        "malformed JSON", in: file, expected: error.expected,
        found: error.found.map { "\($0) at offset \(error.offset)" } ?? "the end of the file")
    }
  }
}

extension JSONCursor<TokenizerError> {
  /// A cursor before the first value of a file's text.
  init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
    if isWideText(bytes) {
      throw .malformed(
        TokenizerError.Details(
          what: "wrong encoding", file: file, expected: "JSON text in UTF-8", found: "text in UTF-16 or UTF-32",
          remedy: "save the file again as UTF-8"))
    }
    try self.init(bytes, dialect: .lenient, failure: TokenizerError.malformedJSON(in: file))
  }
}

extension JSONValue {
  /// Parses a whole document whose outermost value is an object.
  init(parsing bytes: [UInt8], file: String) throws(TokenizerError) {
    var cursor = try JSONCursor(bytes, file: file)
    self = try cursor.readDocument()
    guard case .object = self else {
      throw .malformed("malformed JSON", in: file, expected: "an object", found: kind)
    }
  }

  /// What kind of value this is, for error messages.
  var kind: String { self["type"].string.map { "an object of type \(quoted($0))" } ?? summary }

  /// The value as a Boolean, `fallback` where it is absent, an error where it is something else.
  func bool(_ what: String, default fallback: Bool, in file: String) throws(TokenizerError) -> Bool {
    switch self {
    case .bool(let value): value
    case .null: fallback
    default: throw .malformed("wrong type of \(what)", in: file, expected: "true or false", found: kind)
    }
  }

  /// The value as a string, nil where it is absent, an error where it is something else.
  func optionalString(_ what: String, in file: String) throws(TokenizerError) -> String? {
    switch self {
    case .string(let value): value
    case .null: nil
    default: throw .malformed("wrong type of \(what)", in: file, expected: "a string or null", found: kind)
    }
  }

  /// The value as a token id.
  func tokenID(_ what: String, in file: String) throws(TokenizerError) -> Int32 {
    guard case .integer(let value) = self else {
      throw .malformed("wrong type of \(what)", in: file, expected: "an integer", found: kind)
    }
    return try checkedTokenID(value, of: what, in: file)
  }
}

/// Ids from here on are refused: no vocabulary is that large, and an embedding table of it could not exist.
let tokenIDLimit = 1 << 24

func checkedTokenID(_ value: Int, of what: String, in file: String) throws(TokenizerError) -> Int32 {
  guard value >= 0, value < tokenIDLimit else {
    throw .malformed(
      "token id out of range", in: file, expected: "0 to \(tokenIDLimit - 1) for \(what)", found: "\(value)")
  }
  return Int32(value)
}
