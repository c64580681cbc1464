import ArgumentParser

/// What `--seed` says.
enum Seed: Equatable {
  /// -1, as other programs have it: one is drawn and printed, as without the flag.
  case drawn
  case fixed(UInt64)

  var value: UInt64? { if case .fixed(let value) = self { value } else { nil } }

  init(text: String) throws {
    if text == "-1" {
      self = .drawn
    } else {
      self = .fixed(try Self.number(text, others: ", or -1 to draw one"))
    }
  }

  /// A seed of a command that draws none.
  static func number(_ text: String) throws -> UInt64 { try number(text, others: "") }

  private static func number(_ text: String, others: String) throws -> UInt64 {
    if let value = UInt64(text) { return value }
    throw InvalidSeed(expected: "expected 0 to \(UInt64.max) in digits\(others)")
  }
}

/// Why a text is no seed; the parser says which text.
private struct InvalidSeed: Error, CustomStringConvertible {
  let expected: String

  var description: String { expected }
}
