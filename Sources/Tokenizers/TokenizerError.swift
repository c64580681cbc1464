import StrictJSON

/// What is wrong with a tokenizer's files or a prompt template, where, and what to do about it.
public enum TokenizerError: Error, Equatable, Sendable {
  /// A file is missing or cannot be read.
  case unreadable(Details)
  /// A file is not the format it claims to be: broken JSON, invalid UTF-8, a value of the wrong type.
  case malformed(Details)
  /// A file is well formed but contradicts itself: an unknown token in a merge, an id used twice.
  case inconsistent(Details)
  /// A file asks for something this project does not implement and will not guess at.
  case unsupported(Details)

  /// The parts of the message, in the order in which they are printed.
  public struct Details: Equatable, Sendable {
    /// What went wrong, in a few words.
    public var what: String
    /// The file (or template) it was found in.
    public var file: String
    /// What should have been there.
    public var expected: String
    /// What was there.
    public var found: String
    /// What the user can do.
    public var remedy: String
  }

  /// The parts of the message.
  public var details: Details {
    switch self {
    case .unreadable(let details), .malformed(let details), .inconsistent(let details), .unsupported(let details):
      details
    }
  }
}

extension TokenizerError: CustomStringConvertible {
  /// One line: `what: file: expected …, found …; remedy`.
  public var description: String {
    let details = details
    return "\(details.what): \(details.file): expected \(details.expected), found \(details.found); \(details.remedy)"
  }
}

extension TokenizerError {
  static let downloadAgain = "download the checkpoint's tokenizer files again"

  static func malformed(_ what: String, in file: String, expected: String, found: String) -> TokenizerError {
    .malformed(Details(what: what, file: file, expected: expected, found: found, remedy: downloadAgain))
  }

  static func inconsistent(_ what: String, in file: String, expected: String, found: String) -> TokenizerError {
    .inconsistent(Details(what: what, file: file, expected: expected, found: found, remedy: downloadAgain))
  }

  static func unsupported(_ what: String, in file: String, expected: String, found: String) -> TokenizerError {
    .unsupported(
      Details(
        what: what, file: file, expected: expected, found: found,
        remedy: "use the tokenizer published with HunyuanVideo's text encoders"))
  }
}

/// A piece of text for an error message: quoted, with control characters escaped, and cut when long.
func quoted(_ text: String) -> String { "\"\(text.oneLine)\"" }
