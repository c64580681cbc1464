/// A key table written down as rules, one for each kind of module that a release calls something else.
///
/// A rule relates patterns of names. In a pattern `#` stands for a number, and the numbers of both sides are the same in
/// order; a pattern matches a whole name, or a name without its last component (`weight`, `bias`), which is kept. Names
/// without a rule are kept whole.
public struct KeyRules: KeyTable {
  /// One kind of module.
  public struct Rule: Sendable {
    /// The canonical pattern.
    public let name: String
    /// The release's patterns; several where it stores apart what is one parameter.
    public let stored: [String]
    public let rows: StoredParameter.Rows

    public init(_ name: String, _ stored: String..., rows: StoredParameter.Rows = .inOrder) {
      self.name = name
      self.stored = stored
      self.rows = rows
    }
  }

  /// What a pattern becomes.
  private struct Target: Sendable {
    let pattern: Pattern
    let targets: [Pattern]
    let rows: StoredParameter.Rows
  }

  private let canonicalPrefix: String
  private let storedPrefix: String
  private let foreignPrefixes: [String]
  private let computed: Set<String>
  private let forward: [String: [Target]]
  private let backward: [String: [Target]]

  /// - Parameters:
  ///   - canonicalPrefix: What canonical names begin with and stored ones do not; rules are about the rest.
  ///   - storedPrefix: What stored keys begin with and canonical names do not.
  ///   - foreign: How stored keys begin that belong to no network here, prefix included.
  ///   - computed: Patterns of the canonical names of buffers that the network computes, and older exports store. As
  ///     foreign keys, they are left alone.
  public init(
    _ rules: [Rule], canonicalPrefix: String = "", storedPrefix: String = "", foreign: [String] = [],
    computed: [String] = []
  ) {
    self.canonicalPrefix = canonicalPrefix
    self.storedPrefix = storedPrefix
    foreignPrefixes = foreign
    self.computed = Set(computed.map { Pattern($0).skeleton })
    var forward: [String: [Target]] = [:]
    var backward: [String: [Target]] = [:]
    for rule in rules {
      let name = Pattern(rule.name)
      let stored = rule.stored.map { Pattern($0) }
      forward[name.skeleton, default: []].append(Target(pattern: name, targets: stored, rows: rule.rows))
      for pattern in stored {
        backward[pattern.skeleton, default: []].append(Target(pattern: pattern, targets: [name], rows: rule.rows))
      }
    }
    self.forward = forward
    self.backward = backward
  }

  public func stored(_ name: String) -> StoredParameter {
    guard name.hasPrefix(canonicalPrefix) else { return StoredParameter([storedPrefix + name]) }
    let rest = String(name.dropFirst(canonicalPrefix.count))
    guard let (names, rows) = KeyRules.rewrite(rest, forward) else { return StoredParameter([storedPrefix + rest]) }
    return StoredParameter(names.map { storedPrefix + $0 }, rows: rows)
  }

  public func name(forStoredKey key: String) -> String {
    guard key.hasPrefix(storedPrefix) else { return key }
    let rest = String(key.dropFirst(storedPrefix.count))
    return canonicalPrefix + (KeyRules.rewrite(rest, backward)?.names[0] ?? rest)
  }

  public func isForeign(_ key: String) -> Bool {
    if foreignPrefixes.contains(where: { key.hasPrefix($0) }) { return true }
    if computed.isEmpty { return false }
    return computed.contains(Pattern.skeleton(name(forStoredKey: key).split(separator: ".")[...]))
  }

  private static func rewrite(
    _ name: String, _ table: [String: [Target]]
  ) -> (names: [String], rows: StoredParameter.Rows)? {
    if table.isEmpty { return nil }
    let components = name.split(separator: ".")
    for kept in [0, 1] where components.count > kept {
      let module = components.dropLast(kept)
      let suffix = components.suffix(kept).map { "." + $0 }.joined()
      for target in table[Pattern.skeleton(module)] ?? [] {
        guard let numbers = target.pattern.numbers(in: module) else { continue }
        return (target.targets.map { $0.filled(with: numbers) + suffix }, target.rows)
      }
    }
    return nil
  }
}

/// Components of a name, `#` among them for any number.
private struct Pattern: Sendable {
  let components: [Substring]
  /// The pattern with every number as `#`, also those that are part of the name: under it rules are found.
  let skeleton: String

  init(_ text: String) {
    components = text.split(separator: ".")
    skeleton = Pattern.skeleton(components[...])
  }

  static func skeleton(_ components: ArraySlice<Substring>) -> String {
    components.map { Pattern.isNumber($0) ? "#" : $0 }.joined(separator: ".")
  }

  private static func isNumber(_ text: Substring) -> Bool {
    text == "#" || text.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
  }

  /// What stands for `#` in a name of the same skeleton; nil where a number of the pattern itself differs.
  func numbers(in name: ArraySlice<Substring>) -> [Substring]? {
    var numbers: [Substring] = []
    for (own, given) in zip(components, name) {
      if own == "#" {
        numbers.append(given)
      } else if own != given {
        return nil
      }
    }
    return numbers
  }

  func filled(with numbers: [Substring]) -> String {
    var rest = numbers[...]
    return components.map { $0 == "#" ? rest.popFirst() ?? "#" : $0 }.joined(separator: ".")
  }
}
