/// A JSON document in memory, for small files: configurations, indices.
public enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  /// A number written without fraction or exponent that fits an `Int`.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// The largest file that is read, in bytes; a document in memory takes several times as much.
  public static let maximumByteCount = 16 << 20

  /// Reads a whole file.
  /// - Throws: `CheckpointError` where the file cannot be read, is too large or is not strict JSON (nested at most 64
  ///   deep, no member twice).
  public init(contentsOf path: String) throws(CheckpointError) {
    self = try JSONValue(
      bytes: DescriptorFile(reading: path).readAll(limit: JSONValue.maximumByteCount), file: path)
  }

  /// Reads JSON text; `file` is named in errors.
  public init(bytes: [UInt8], file: String) throws(CheckpointError) {
    var cursor = JSONCursor(bytes, file: file, part: "JSON text")
    self = try JSONValue(&cursor)
    try cursor.expectEnd()
  }

  private init(_ cursor: inout JSONCursor) throws(CheckpointError) {
    switch cursor.peek() {
    case UInt8(ascii: "{"):
      var members: [String: JSONValue] = [:]
      try cursor.object { cursor, name throws(CheckpointError) in
        if members[name] != nil { throw cursor.malformed("each member once", "\"\(name.oneLine)\" twice") }
        members[name] = try JSONValue(&cursor)
      }
      self = .object(members)
    case UInt8(ascii: "["):
      var elements: [JSONValue] = []
      try cursor.array { cursor throws(CheckpointError) in elements.append(try JSONValue(&cursor)) }
      self = .array(elements)
    case UInt8(ascii: "\""):
      self = .string(try cursor.string())
    case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
      self = try cursor.word().map(JSONValue.bool) ?? .null
    default:
      let number = try cursor.number()
      if number.isInteger, let integer = Int(number.text) {
        self = .integer(integer)
      } else if let double = Double(number.text), double.isFinite {
        self = .number(double)
      } else {
        throw cursor.malformed("a number that fits 64 bits", number.text.oneLine)
      }
    }
  }
}

// MARK: Looking inside

extension JSONValue {
  /// The member of an object; nil for other kinds.
  public subscript(name: String) -> JSONValue? {
    if case .object(let members) = self { members[name] } else { nil }
  }

  /// The elements of an array; nil for other kinds.
  public var array: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }

  /// The members of an object; nil for other kinds.
  public var object: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }

  public var string: String? { if case .string(let text) = self { text } else { nil } }

  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// An integer, also where it is written `6.0`.
  public var int: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  /// Any number.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The value in one line, for messages; long ones by their kind.
  var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let text): "\"\(text.oneLine)\""
    case .array(let elements):
      elements.count <= 8 ? "[" + elements.map(\.summary).joined(separator: ", ") + "]" : "\(elements.count) elements"
    case .object(let members): "an object of \(members.count) members"
    }
  }
}
