/// What a release calls the parameters of a network. Networks ask by the canonical names, those of Tencent's release;
/// a table for another release is a bijection between those and its own.
public protocol KeyTable: Sendable {
  /// The key under which a parameter with a canonical name is stored.
  func storedKey(for name: String) -> String

  /// The canonical name of a stored key.
  func name(forStoredKey key: String) -> String
}

/// The table of Tencent's own release, and of encoders that are published under one scheme: names are keys.
public struct CanonicalKeys: KeyTable {
  public init() {}
  public func storedKey(for name: String) -> String { name }
  public func name(forStoredKey key: String) -> String { key }
}
