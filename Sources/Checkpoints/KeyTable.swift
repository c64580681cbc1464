/// What a release calls the parameters of a network. Networks ask by the canonical names, those of Tencent's release;
/// a table for another release is a bijection between those and its own.
public protocol KeyTable: Sendable {
  /// Where a parameter with a canonical name is stored.
  func stored(_ name: String) -> StoredParameter

  /// The canonical name of the parameter that a stored key belongs to.
  func name(forStoredKey key: String) -> String

  /// Whether a stored key belongs to a part of the release that no network here has: a vision tower, a marker.
  func isForeign(_ key: String) -> Bool
}

extension KeyTable {
  public func isForeign(_ key: String) -> Bool { false }
}

/// Where a parameter is stored: in one tensor, or in several whose rows follow one another.
public struct StoredParameter: Sendable, Hashable {
  /// How the rows of a stored tensor lie.
  public enum Rows: Sendable, Hashable {
    case inOrder
    /// The second half comes first: diffusers keeps (scale, shift) where Tencent keeps (shift, scale).
    case halvesSwapped
  }

  public let keys: [String]
  public let rows: Rows

  public init(_ keys: [String], rows: Rows = .inOrder) {
    precondition(!keys.isEmpty, "stored parameter: no keys")
    self.keys = keys
    self.rows = rows
  }
}

/// The table of Tencent's own release, and of encoders that are published under one scheme: names are keys.
public struct CanonicalKeys: KeyTable {
  public init() {}
  public func stored(_ name: String) -> StoredParameter { StoredParameter([name]) }
  public func name(forStoredKey key: String) -> String { key }
}

/// Names behind a prefix. Keys without it belong to something else.
public struct PrefixedKeys: KeyTable {
  private let prefix: String

  public init(_ prefix: String) { self.prefix = prefix }

  public func stored(_ name: String) -> StoredParameter { StoredParameter([prefix + name]) }

  public func name(forStoredKey key: String) -> String {
    key.hasPrefix(prefix) ? String(key.dropFirst(prefix.count)) : key
  }

  public func isForeign(_ key: String) -> Bool { !key.hasPrefix(prefix) }
}
