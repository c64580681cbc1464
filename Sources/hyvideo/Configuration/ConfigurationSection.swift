import Generation
import Yams

/// A mapping of a configuration file. Each key is asked for by name and type, and what nobody has asked for is refused.
struct ConfigurationSection {
  private let name: String
  private let file: String
  private var values: [String: Node] = [:]
  private var lines: [String: Int] = [:]
  private var known: [String] = []

  /// - Parameter name: the keys that lead to the section; empty at the top.
  init(_ mapping: Node.Mapping, name: String, file: String) throws(RequestError) {
    (self.name, self.file) = (name, file)
    for (key, value) in mapping {
      guard case .scalar(let scalar) = key else {
        throw RequestError(
          "unreadable configuration", at: key.mark.map { "\(file):\($0.line)" } ?? file, expected: "a name as the key",
          found: "a list or mapping", remedy: "correct the file")
      }
      values[scalar.string] = value
      lines[scalar.string] = key.mark?.line
    }
  }

  // MARK: Values

  /// A word, number or sentence, as it is written.
  mutating func text(_ key: String) throws(RequestError) -> String? {
    guard let value = take(key) else { return nil }
    guard case .scalar(let scalar) = value, value.null == nil else {
      throw refused(key, "one value", Self.kind(value))
    }
    return scalar.string
  }

  mutating func integer(_ key: String) throws(RequestError) -> Int? {
    try read(key, "an integer") { Int($0) }
  }

  /// A finite number.
  mutating func number(_ key: String) throws(RequestError) -> Double? {
    try read(key, "a number") { Double($0).flatMap { $0.isFinite ? $0 : nil } }
  }

  /// Whether an option is on. YAML's other words for true and false count too.
  mutating func flag(_ key: String) throws(RequestError) -> Bool? {
    guard let value = take(key) else { return nil }
    guard let flag = value.bool else { throw refused(key, "true or false", Self.kind(value)) }
    return flag
  }

  /// Integers in a list, or one alone.
  mutating func integers(_ key: String) throws(RequestError) -> [Int]? {
    try list(key, "integers") { Int($0) }
  }

  /// Finite numbers in a list, or one alone.
  mutating func numbers(_ key: String) throws(RequestError) -> [Double]? {
    try list(key, "numbers") { Double($0).flatMap { $0.isFinite ? $0 : nil } }
  }

  /// A mapping in this one; an empty one where the key has no value.
  mutating func section(_ key: String) throws(RequestError) -> ConfigurationSection? {
    guard let value = take(key) else { return nil }
    if value.null != nil { return try ConfigurationSection(Node.Mapping([]), name: path(key), file: file) }
    guard case .mapping(let mapping) = value else { throw refused(key, "a section", Self.kind(value)) }
    return try ConfigurationSection(mapping, name: path(key), file: file)
  }

  // MARK: Refusals

  /// A key that may only say what this program does anyway.
  mutating func require(_ key: String, _ allowed: [String], remedy: String = "leave it out") throws(RequestError) {
    guard values[key] != nil, let found = try text(key) else { return known.append(key) }
    if allowed.contains(found) { return }
    let near = Double(found) == nil ? Self.nearest(found, in: allowed).map { "did you mean \($0)?" } : nil
    throw refused(key, allowed.joined(separator: " or "), found, remedy: near ?? remedy, what: "not supported")
  }

  /// An option that this program does not have: it may be off.
  mutating func requireOff(_ key: String) throws(RequestError) {
    guard let value = values[key] else { return known.append(key) }
    if value.bool == false || value.null != nil || value.string == "" {
      _ = take(key)
      return
    }
    throw refused(key, "nothing or false", Self.kind(value), remedy: "leave it out", what: "not built")
  }

  /// Refuses a section or value by its name.
  func notBuilt(_ key: String, expected: String, found: String, remedy: String) -> RequestError {
    RequestError("not built", at: location(key), expected: expected, found: found, remedy: remedy)
  }

  /// The same refusal, with the section as its place.
  func placed(_ error: RequestError) -> RequestError {
    RequestError(
      error.what, at: "\(file): \(name): \(error.location)", expected: error.expected, found: error.found,
      remedy: error.remedy)
  }

  /// Refuses a value that was read and cannot be.
  func invalid(_ key: String, expected: String, found: String, remedy: String) -> RequestError {
    RequestError("invalid value", at: location(key), expected: expected, found: found, remedy: remedy)
  }

  /// Lets keys be whatever they are.
  mutating func skip(_ keys: [String]) { for key in keys { _ = take(key) } }

  /// Refuses what nobody has asked for.
  func finish() throws(RequestError) {
    let unknown = values.filter { !known.contains($0.key) }
    guard let key = unknown.keys.min(by: { (lines[$0] ?? 0, $0) < (lines[$1] ?? 0, $1) }) else { return }
    let near = Self.nearest(key, in: known)
    throw RequestError(
      "unknown key", at: location(key), expected: name.isEmpty ? "a known section" : "a key of \(name)",
      found: key, remedy: near.map { "did you mean \($0)?" } ?? "known are \(known.sorted().joined(separator: ", "))")
  }

  // MARK: Reading

  private mutating func take(_ key: String) -> Node? {
    known.append(key)
    return values[key]
  }

  private mutating func read<Value>(
    _ key: String, _ expected: String, _ convert: (String) -> Value?
  ) throws(RequestError) -> Value? {
    guard let value = take(key) else { return nil }
    guard case .scalar(let scalar) = value, let result = convert(scalar.string) else {
      throw refused(key, expected, Self.kind(value))
    }
    return result
  }

  private mutating func list<Value>(
    _ key: String, _ expected: String, _ convert: (String) -> Value?
  ) throws(RequestError) -> [Value]? {
    guard let value = take(key) else { return nil }
    let items: [Node]
    switch value {
    case .sequence(let sequence): items = Array(sequence)
    case .scalar: items = [value]
    default: throw refused(key, expected, Self.kind(value))
    }
    var results: [Value] = []
    for item in items {
      guard case .scalar(let scalar) = item, let result = convert(scalar.string) else {
        throw refused(key, expected, Self.kind(item))
      }
      results.append(result)
    }
    return results
  }

  private func path(_ key: String) -> String { name.isEmpty ? key : "\(name).\(key)" }

  private func location(_ key: String) -> String { "\(file)\(lines[key].map { ":\($0)" } ?? ""): \(path(key))" }

  private func refused(
    _ key: String, _ expected: String, _ found: String, remedy: String = "correct the file",
    what: String = "invalid value"
  ) -> RequestError {
    RequestError(what, at: location(key), expected: expected, found: found, remedy: remedy)
  }

  /// What a value is, for a message: its text where that is short.
  private static func kind(_ value: Node) -> String {
    switch value {
    case .scalar(let scalar):
      if value.null != nil { return "nothing" }
      return scalar.string.count > 60 ? "\(scalar.string.prefix(60))…" : scalar.string
    case .sequence: return "a list"
    case .mapping: return "a section"
    default: return "a reference"
    }
  }

  // MARK: Names

  /// The known name that is a few letters away.
  private static func nearest(_ name: String, in known: [String]) -> String? {
    let candidates = known.map { (name: $0, distance: distance(name, $0)) }
    guard let best = candidates.min(by: { ($0.distance, $0.name) < ($1.distance, $1.name) }) else { return nil }
    return best.distance <= max(1, min(name.count, 30) / 3) ? best.name : nil
  }

  /// Letters to insert, remove or replace; capitals, dashes and underlines do not count.
  private static func distance(_ a: String, _ b: String) -> Int {
    let (a, b) = (plain(a), plain(b))
    var row = Array(0...b.count)
    for (i, left) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, right) in b.enumerated() {
        (diagonal, row[j + 1]) = (row[j + 1], min(row[j] + 1, row[j + 1] + 1, diagonal + (left == right ? 0 : 1)))
      }
    }
    return row[b.count]
  }

  private static func plain(_ name: String) -> [Character] {
    name.prefix(100).lowercased().map { $0 == "_" ? "-" : $0 }
  }
}
