import Generation
import StrictJSON
import Yams

/// A mapping of a configuration file. Each key is asked for by name and type, and what nobody has asked for is refused.
struct ConfigurationSection {
  private let name: String
  private let file: String
  private var values: [String: Node] = [:]
  private var lines: [String: Int] = [:]
  /// Keys as they are in the file.
  private var written: [String: String] = [:]
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
      let name = Self.canonical(scalar.string)
      if values[name] != nil {
        throw RequestError(
          "unreadable configuration", at: key.mark.map { "\(file):\($0.line)" } ?? file, expected: "each key once",
          found: "the key \(scalar.string.oneLine) twice, in one spelling or another", remedy: "leave one out")
      }
      (values[name], lines[name]) = (value, key.mark?.line)
      written[name] = scalar.string
    }
  }

  // MARK: Values

  /// A word, number or sentence, as it is written, whatever YAML takes it for: `no` and `42` are words of a prompt. Of a block over
  /// several lines the line end is not part.
  mutating func text(_ key: String) throws(RequestError) -> String? {
    guard let value = take(key) else { return nil }
    guard case .scalar(let scalar) = value else {
      throw refused(
        key, "one value", Self.kind(value), remedy: key == "prompt" ? "several are for prompt-file" : "correct the file"
      )
    }
    let isBlock = [.literal, .folded].contains(scalar.style)
    return isBlock ? String(scalar.string.trimmingSuffix(while: \.isNewline)) : scalar.string
  }

  mutating func integer(_ key: String) throws(RequestError) -> Int? {
    try read(key, "an integer", Self.integer)
  }

  /// Digits of any number of 64 bits without a sign, or -1.
  mutating func seed(_ key: String) throws(RequestError) -> String? {
    try read(key, "an integer from 0 to \(UInt64.max), or -1 to draw one") { text in
      if text == "-1" { return text }
      return Self.isPlain(text) ? UInt64(text).map { "\($0)" } : nil
    }
  }

  /// A finite number.
  mutating func number(_ key: String) throws(RequestError) -> Double? {
    try read(key, "a number", Self.number)
  }

  /// Whether an option is on. YAML's other words for true and false count too.
  mutating func flag(_ key: String) throws(RequestError) -> Bool? {
    try read(key, "true or false") { text in
      switch text.lowercased() {
      case "true", "yes", "on": true
      case "false", "no", "off": false
      default: nil
      }
    }
  }

  /// The same of an option that has a key of its own for off, `no-KEY`.
  mutating func either(_ key: String) throws(RequestError) -> Bool? {
    let (isOn, isOff) = (try flag(key), try flag("no-" + key))
    guard isOn != nil, isOff != nil else { return isOn ?? isOff.map { !$0 } }
    throw refused("no-" + key, "it or \(key)", "both", remedy: "leave one out")
  }

  /// Texts in a list, or one alone.
  mutating func texts(_ key: String) throws(RequestError) -> [String]? { try list(key, "texts") { $0 } }

  /// Integers in a list, or one alone.
  mutating func integers(_ key: String) throws(RequestError) -> [Int]? { try list(key, "integers", Self.integer) }

  /// Finite numbers in a list, or one alone.
  mutating func numbers(_ key: String) throws(RequestError) -> [Double]? { try list(key, "numbers", Self.number) }

  /// Decimal digits. A zero in front is refused: YAML's versions differ in whether what follows is octal.
  private static func integer(_ text: String) -> Int? { isPlain(text) ? Int(text) : nil }

  private static func number(_ text: String) -> Double? {
    let isDecimal = text.utf8.allSatisfy { (48...57).contains($0) || "+-.eE".utf8.contains($0) }
    guard isDecimal, isPlain(text), let value = Double(text), value.isFinite else { return nil }
    return value
  }

  private static func isPlain(_ text: String) -> Bool {
    let digits = Array(text.utf8.drop { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") })
    return digits.count < 2 || digits[0] != UInt8(ascii: "0") || !(48...57).contains(digits[1])
  }

  /// A mapping in this one.
  mutating func section(_ key: String) throws(RequestError) -> ConfigurationSection? {
    guard let value = take(key) else { return nil }
    guard case .mapping(let mapping) = value else { throw refused(key, "a section", Self.kind(value)) }
    return try ConfigurationSection(mapping, name: path(key), file: file)
  }

  // MARK: Refusals

  /// A key that may only say what this program does anyway.
  mutating func require(_ key: String, _ allowed: [String], remedy: String = "leave it out") throws(RequestError) {
    guard let found = try text(key) else { return }
    if allowed.contains(found) { return }
    let near = Double(found) == nil ? Self.nearest(found, in: allowed).map { "did you mean \($0)?" } : nil
    throw refused(key, allowed.joined(separator: " or "), found, remedy: near ?? remedy, what: "not supported")
  }

  /// An option that this program does not have: it may be off.
  /// - Parameter remedy: why it is not there, or what is instead.
  mutating func requireOff(_ key: String, remedy: String = "leave it out") throws(RequestError) {
    guard let value = take(key), value.bool != false, value.string != "" else { return }
    throw refused(key, "nothing or false", Self.kind(value), remedy: remedy, what: "not built")
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
    let names = Set(known.map(Self.canonical))
    let unknown = values.filter { !names.contains($0.key) }
    guard let key = unknown.keys.min(by: { (lines[$0] ?? 0, $0) < (lines[$1] ?? 0, $1) }) else { return }
    let near = Self.nearest(key, in: Array(Set(known)))
    throw RequestError(
      "unknown key", at: location(key), expected: name.isEmpty ? "a known section" : "a key of \(name)",
      found: (written[key] ?? key).oneLine,
      remedy: near.map { "did you mean \($0)?" } ?? "known are \(Set(known).sorted().joined(separator: ", "))")
  }

  // MARK: Reading

  /// Nil where there is no such key, or nothing behind it: that is the same.
  private mutating func take(_ key: String) -> Node? {
    known.append(key)
    return values[Self.canonical(key)].flatMap { $0.null == nil ? $0 : nil }
  }

  /// Dashes and underlines are the same in keys.
  private static func canonical(_ key: String) -> String { key.replacing("_", with: "-") }

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
      guard case .scalar(let scalar) = item, item.null == nil, let result = convert(scalar.string) else {
        throw refused(key, expected, Self.kind(item))
      }
      results.append(result)
    }
    return results
  }

  private func path(_ key: String) -> String {
    let key = (written[Self.canonical(key)] ?? key).oneLine
    return name.isEmpty ? key : "\(name).\(key)"
  }

  /// File, line and key.
  func location(_ key: String) -> String {
    "\(file)\(lines[Self.canonical(key)].map { ":\($0)" } ?? ""): \(path(key))"
  }

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
      return (scalar.string.count > 60 ? "\(scalar.string.prefix(60))…" : scalar.string).oneLine
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

extension StringProtocol {
  /// Without the characters at its end for which something holds.
  fileprivate func trimmingSuffix(while holds: (Character) -> Bool) -> SubSequence {
    self[..<(lastIndex { !holds($0) }.map(index(after:)) ?? startIndex)]
  }
}
