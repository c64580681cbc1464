/// A small JSON document, or a small part of a large one, as a tree.
enum JSONValue: Equatable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// Parses a whole document whose outermost value is an object.
  init(parsing bytes: [UInt8], file: String) throws(TokenizerError) {
    var scanner = try JSONScanner(bytes, file: file)
    self = try scanner.readValue()
    try scanner.finish()
    guard case .object = self else {
      throw .malformed("malformed JSON", in: file, expected: "an object", found: kind)
    }
  }

  /// The member called `key`, or null where there is none or this is not an object.
  subscript(key: String) -> JSONValue {
    if case .object(let members) = self { members[key] ?? .null } else { .null }
  }

  var string: String? { if case .string(let value) = self { value } else { nil } }
  var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  var elements: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  var members: [String: JSONValue]? { if case .object(let value) = self { value } else { nil } }

  /// What kind of value this is, for error messages.
  var kind: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): quoted(value)
    case .array: "an array"
    case .object: self["type"].string.map { "an object of type \(quoted($0))" } ?? "an object"
    }
  }

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
