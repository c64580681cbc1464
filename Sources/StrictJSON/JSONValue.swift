/// A small JSON document, or a small part of a large one, as a tree.
public enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  /// A number written without fraction or exponent that fits an `Int`.
  case integer(Int)
  /// Any other number; finite, but for `NaN` and the infinities of a lenient text.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// The deepest nesting that is read.
  public static let maximumDepth = 64
}

// MARK: Looking inside

extension JSONValue {
  /// The member of an object; null where there is none, and for other kinds.
  public subscript(name: String) -> JSONValue {
    if case .object(let members) = self { members[name] ?? .null } else { .null }
  }

  /// The elements of an array; nil for other kinds.
  public var array: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }

  /// The members of an object; nil for other kinds.
  public var object: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }

  /// The text of a string; nil for other kinds.
  public var string: String? { if case .string(let text) = self { text } else { nil } }

  /// The value of `true` or `false`; nil for other kinds.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// An integer, also where it is written `6.0`; nil for other numbers and kinds.
  public var int: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  /// Any finite number; nil for other kinds.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value.isFinite ? value : nil
    default: nil
    }
  }

  /// The value in one line, for messages; what is long by its kind.
  public var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): value.isNaN ? "NaN" : value.isInfinite ? "\(value < 0 ? "-" : "")Infinity" : "\(value)"
    case .string(let text): "\"\(text.oneLine)\""
    case .array(let elements):
      elements.count <= 8 && elements.allSatisfy { $0.array == nil }
        ? "[" + elements.map(\.summary).joined(separator: ", ") + "]" : "\(elements.count) elements"
    case .object(let members): "an object of \(members.count) members"
    }
  }
}
