/// Where a text is not the JSON that its reader expects.
public struct JSONError: Error, Equatable, Sendable {
  /// How many bytes come before the place.
  public let offset: Int
  /// What should be there.
  public let expected: String
  /// What is there, in one line; nil where the text ends.
  public let found: String?

  /// - Parameters:
  ///   - offset: how many bytes come before the place.
  ///   - expected: what should be there.
  ///   - found: what is there, in one line; nil where the text ends.
  public init(offset: Int, expected: String, found: String?) {
    self.offset = offset
    self.expected = expected
    self.found = found
  }
}

extension JSONError: CustomStringConvertible {
  /// One line: `byte …: expected …, found …`.
  public var description: String { "byte \(offset): expected \(expected), found \(found ?? "the end")" }
}
