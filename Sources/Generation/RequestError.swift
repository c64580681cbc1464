/// A request that cannot work, found before any heavy work.
public struct RequestError: Error, CustomStringConvertible {
  /// What is wrong, for example `invalid size`.
  public let what: String
  /// The flag or file.
  public let location: String
  public let expected: String
  public let found: String
  public let remedy: String

  public init(_ what: String, at location: String, expected: String, found: String, remedy: String) {
    self.what = what
    self.location = location
    self.expected = expected
    self.found = found
    self.remedy = remedy
  }

  public var description: String {
    "\(what): \(location.bounded): expected \(expected), found \(found.bounded); \(remedy)"
  }
}
