import Synchronization

/// What the scopes of one checkpoint have taken and what they do not want.
final class WeightAccount: Sendable {
  private struct State: Sendable {
    var used: Set<String> = []
    var ignoredPrefixes: [String] = []
  }

  private let state = Mutex(State())

  /// Notes that the tensor with a stored key was taken. Taking one twice is no error: networks share tables.
  func use(_ key: String) { state.withLock { _ = $0.used.insert(key) } }

  /// Notes that names which begin like this are not wanted.
  func ignore(_ prefix: String) { state.withLock { $0.ignoredPrefixes.append(prefix) } }

  var usedKeys: Set<String> { state.withLock { $0.used } }

  var ignoredPrefixes: [String] { state.withLock { $0.ignoredPrefixes } }
}

/// A name in which `*` stands for any run of characters.
struct NamePattern {
  private let parts: [Substring]

  init(_ pattern: String) { parts = pattern.split(separator: "*", omittingEmptySubsequences: false) }

  func matches(_ name: String) -> Bool {
    guard let first = parts.first, let last = parts.last, name.hasPrefix(first) else { return name.isEmpty }
    if parts.count == 1 { return name == first }
    var rest = name.dropFirst(first.count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
      guard let range = rest.firstRange(of: part) else { return false }
      rest = rest[range.upperBound...]
    }
    return rest.hasSuffix(last)
  }
}
