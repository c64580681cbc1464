public import StrictJSON

/// Reads the fields of a JSON configuration. Every error names the file, the field, what it should be and what it is.
///
/// A field that is `null` counts as absent. An absent field takes the default that is given, else it is an error. Fields are
/// accounted for as tensors are: `finish` refuses those that were neither read nor declared to change nothing.
public struct ConfigurationReader: Sendable {
  /// The file's path, for messages.
  public let file: String
  /// The names of the enclosing objects: `defaults.`, empty at the top.
  let path: String
  let fields: [String: JSONValue]
  let account: ConfigurationAccount

  /// The largest size that `positiveInt` accepts. With it, products of a few sizes stay far from the limits of `Int`.
  public static let largestSize = 1 << 24
  /// The largest number that `positiveDouble` accepts.
  public static let largestNumber = 1e9

  /// Reads a file.
  /// - Throws: `CheckpointError` where it cannot be read or is no JSON object.
  public init(contentsOf file: String) throws(CheckpointError) {
    try self.init(JSONValue(contentsOf: file), file: file)
  }

  /// Reads a document; `file` is named in errors.
  public init(_ document: JSONValue, file: String) throws(CheckpointError) {
    guard let fields = document.object else {
      throw .malformed(file: file, place: "JSON text", expected: "an object", found: document.summary)
    }
    self.init(file: file, path: "", fields: fields, account: ConfigurationAccount())
  }

  private init(file: String, path: String, fields: [String: JSONValue], account: ConfigurationAccount) {
    self.file = file
    self.path = path
    self.fields = fields
    self.account = account
  }

  /// Whether a field is there and not `null`.
  public func has(_ key: String) -> Bool { value(key) != nil }

  /// The names of all fields, sorted.
  public var keys: [String] { fields.keys.sorted() }

  func value(_ key: String) -> JSONValue? {
    if let value = fields[key], value != .null { value } else { nil }
  }

  private func invalid(_ key: String, _ expected: String, _ found: String) -> CheckpointError {
    .invalidConfiguration(file: file, key: path + key, expected: expected, found: found)
  }

  /// The field converted, or the default where it is absent.
  private func read<Value>(
    _ key: String, _ expected: String, default defaultValue: Value?, convert: (JSONValue) -> Value?
  ) throws(CheckpointError) -> Value {
    account.use(path + key)
    guard let value = value(key) else {
      if let defaultValue { return defaultValue }
      throw invalid(key, expected, "no such field")
    }
    guard let converted = convert(value) else { throw invalid(key, expected, value.summary) }
    return converted
  }
}

// MARK: Fields

extension ConfigurationReader {
  /// An integer of any size.
  public func int(_ key: String, default defaultValue: Int? = nil) throws(CheckpointError) -> Int {
    try read(key, "an integer", default: defaultValue) { $0.int }
  }

  /// A size: an integer from 1 to `limit`.
  public func positiveInt(
    _ key: String, default defaultValue: Int? = nil, atMost limit: Int = largestSize
  ) throws(CheckpointError) -> Int {
    try read(key, "a positive integer up to \(limit)", default: defaultValue) { value in
      value.int.flatMap { $0 > 0 && $0 <= limit ? $0 : nil }
    }
  }

  /// A list of integers of any size.
  public func ints(_ key: String, default defaultValue: [Int]? = nil) throws(CheckpointError) -> [Int] {
    try read(key, "a list of integers", default: defaultValue) { value in
      value.array.flatMap { ConfigurationReader.all($0.map(\.int)) }
    }
  }

  /// A list of sizes, not empty, each from 1 to `limit`.
  public func positiveInts(
    _ key: String, default defaultValue: [Int]? = nil, atMost limit: Int = largestSize
  ) throws(CheckpointError) -> [Int] {
    try read(key, "a list of positive integers up to \(limit)", default: defaultValue) { value in
      guard let sizes = value.array.flatMap({ ConfigurationReader.all($0.map(\.int)) }) else { return nil }
      return !sizes.isEmpty && sizes.allSatisfy { $0 > 0 && $0 <= limit } ? sizes : nil
    }
  }

  /// A number.
  public func double(_ key: String, default defaultValue: Double? = nil) throws(CheckpointError) -> Double {
    try read(key, "a number", default: defaultValue) { $0.double }
  }

  /// A number above zero, up to `limit`.
  public func positiveDouble(
    _ key: String, default defaultValue: Double? = nil, atMost limit: Double = largestNumber
  ) throws(CheckpointError) -> Double {
    try read(key, "a positive number up to \(limit)", default: defaultValue) { value in
      value.double.flatMap { $0 > 0 && $0 <= limit ? $0 : nil }
    }
  }

  /// `true` or `false`.
  public func bool(_ key: String, default defaultValue: Bool? = nil) throws(CheckpointError) -> Bool {
    try read(key, "true or false", default: defaultValue) { $0.bool }
  }

  /// A text.
  public func string(_ key: String, default defaultValue: String? = nil) throws(CheckpointError) -> String {
    try read(key, "a text", default: defaultValue) { $0.string }
  }

  /// A list of texts.
  public func strings(_ key: String, default defaultValue: [String]? = nil) throws(CheckpointError) -> [String] {
    try read(key, "a list of texts", default: defaultValue) { value in
      value.array.flatMap { ConfigurationReader.all($0.map(\.string)) }
    }
  }

  /// The object in a field; nil where it is absent.
  public func object(_ key: String) throws(CheckpointError) -> ConfigurationReader? {
    guard has(key) else { return nil }
    let fields = try read(key, "an object", default: nil) { $0.object }
    return ConfigurationReader(file: file, path: "\(path)\(key).", fields: fields, account: account)
  }

  private static func all<Value>(_ values: [Value?]) -> [Value]? {
    let present = values.compactMap { $0 }
    return present.count == values.count ? present : nil
  }
}

// MARK: Requirements

extension ConfigurationReader {
  /// Checks a condition that concerns a field.
  /// - Throws: `CheckpointError.invalidConfiguration` with the two texts where the condition does not hold.
  public func require(
    _ key: String, _ condition: Bool, _ expected: String, _ found: String
  ) throws(CheckpointError) {
    if !condition { throw invalid(key, expected, found) }
  }

  /// Checks that a field, where it is there, says the one thing that is supported.
  public func require(_ key: String, equals expected: String) throws(CheckpointError) {
    account.use(path + key)
    if let value = value(key), value.string != expected { throw invalid(key, "\"\(expected)\"", value.summary) }
  }
}
