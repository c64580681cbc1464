/// Reads the options of a cache rule from `key=value` pairs: each at most once, none unknown, every value checked.
struct StepCacheOptions {
  private let rule: String
  private var pairs: [String: String]
  private var known: [String] = []

  init(rule: String, _ pairs: [String: String]) {
    self.rule = rule
    self.pairs = pairs
  }

  /// A number of at least 0.
  mutating func number(_ key: String, default value: Double) throws(RequestError) -> Double {
    guard let text = take(key) else { return value }
    guard let number = Double(text), number.isFinite, number >= 0 else {
      throw refused(key, "a number of at least 0", text)
    }
    return number
  }

  /// An integer of a range.
  mutating func integer(
    _ key: String, default value: Int, in range: ClosedRange<Int>
  ) throws(RequestError) -> Int {
    guard let text = take(key) else { return value }
    guard let integer = Int(text), range.contains(integer) else {
      throw refused(key, "an integer from \(range.lowerBound) to \(range.upperBound)", text)
    }
    return integer
  }

  /// Numbers separated by commas, with or without brackets.
  mutating func numbers(_ key: String, default values: [Double]?) throws(RequestError) -> [Double]? {
    guard let text = take(key) else { return values }
    let bare = text.filter { !"[] ".contains($0) }
    let numbers = bare.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) ?? .nan }
    guard numbers.count <= 10_000, numbers.allSatisfy(\.isFinite) else {
      throw refused(key, "numbers separated by commas", text)
    }
    return numbers
  }

  /// One of some words.
  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, default value: Choice
  ) throws(RequestError) -> Choice where Choice.RawValue == String {
    guard let text = take(key) else { return value }
    guard let choice = Choice(rawValue: text) else {
      throw refused(key, Choice.allCases.map(\.rawValue).joined(separator: " or "), text)
    }
    return choice
  }

  /// Refuses what no rule has asked for.
  func finish() throws(RequestError) {
    guard let key = pairs.keys.min() else { return }
    throw RequestError(
      "unknown cache option", at: "--cache-option \(key)=\(pairs[key] ?? "")",
      expected: known.isEmpty
        ? "no options for \(rule)" : "for \(rule) one of \(known.sorted().joined(separator: ", "))",
      found: key, remedy: "see docs/caches.md")
  }

  private mutating func take(_ key: String) -> String? {
    known.append(key)
    return pairs.removeValue(forKey: key)
  }

  private func refused(_ key: String, _ expected: String, _ found: String) -> RequestError {
    RequestError(
      "invalid cache option", at: "--cache-option \(key)=\(found)", expected: expected, found: found,
      remedy: "see docs/caches.md")
  }
}
