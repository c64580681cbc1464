import StrictJSON
import Synchronization

/// What has been read of a configuration, and what need not be.
final class ConfigurationAccount: Sendable {
  private let known = Mutex<Set<String>>([])

  /// Notes that somebody knows what a field means.
  func use(_ key: String) { known.withLock { _ = $0.insert(key) } }

  func knows(_ key: String) -> Bool { known.withLock { $0.contains(key) } }
}

/// Fields that may say anything, and why.
public struct InertSettings: Sendable {
  public let keys: [String]
  /// Why no number depends on them.
  public let reason: String

  public init(_ keys: [String], because reason: String) {
    self.keys = keys
    self.reason = reason
  }
}

/// A value of a field, as it is compared: numbers are the same however they are written.
public struct SettingValue: Sendable, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByDictionaryLiteral
{
  let value: JSONValue

  init(_ value: JSONValue) { self.value = value }
  public init(stringLiteral value: String) { self.value = .string(value) }
  public init(booleanLiteral value: Bool) { self.value = .bool(value) }
  public init(integerLiteral value: Int) { self.value = .integer(value) }
  /// The object without members, which is all that is compared.
  public init(dictionaryLiteral elements: (String, Bool)...) { value = .object([:]) }

  func isSame(as other: JSONValue) -> Bool {
    if let first = value.double, let second = other.double { return first == second }
    return value == other
  }
}

// MARK: Accounting

extension ConfigurationReader {
  /// Declares fields that change nothing, each list with its reason.
  public func ignore(_ settings: [InertSettings]) {
    for key in settings.flatMap(\.keys) { account.use(path + key) }
  }

  /// Checks that a field, where it is there, has a value with which nothing but what is computed is meant.
  /// - Parameters:
  ///   - values: the values that change nothing; none where the field must be absent or null.
  ///   - effect: what the field does, for the message.
  /// - Throws: `CheckpointError.unsupportedSetting` for another value.
  public func require(_ key: String, isOneOf values: [SettingValue], effect: String) throws(CheckpointError) {
    account.use(path + key)
    guard let value = value(key), !values.contains(where: { $0.isSame(as: value) }) else { return }
    let expected = (values.isEmpty ? ["null"] : values.map(\.value.summary)).joined(separator: " or ")
    throw .unsupportedSetting(file: file, key: path + key, effect: effect, expected: expected, found: value.summary)
  }

  /// Whether two readers' fields say the same; an absent field says the same as any.
  public func agrees(with other: ConfigurationReader, on key: String) -> Bool {
    guard let mine = value(key), let theirs = other.value(key) else { return true }
    return SettingValue(mine).isSame(as: theirs)
  }

  /// A field that is a string, without taking account of it; nil where it is none.
  public func string(of key: String) -> String? { value(key)?.string }

  /// A field's value as it is written; nil where it is absent.
  public func text(of key: String) -> String? { value(key)?.summary }

  /// Checks that every field of this object was read or declared to change nothing. Names that begin with `_` are notes of
  /// libraries to themselves.
  /// - Throws: `CheckpointError.unknownSettings` with the first of the others.
  public func finish() throws(CheckpointError) {
    let unknown = keys.filter { value($0) != nil && !$0.hasPrefix("_") && !account.knows(path + $0) }
    guard let first = unknown.first, let value = value(first) else { return }
    throw .unknownSettings(file: file, key: path + first, found: value.summary, others: Array(unknown.dropFirst()))
  }
}
