/// What the published pre-tokenization expressions distinguish.
enum CharacterClass: UInt8, Sendable {
  /// `\p{L}`
  case letter
  /// `\p{N}`
  case number
  /// `[\r\n]`
  case newline
  /// `\s` without `[\r\n]`
  case space
  /// Everything else: `[^\s\p{L}\p{N}]`
  case other

  var isSpace: Bool { self == .space || self == .newline }
}

extension CharacterClass {
  /// The Unicode version of the regular expression engine in the `tokenizers` library.
  ///
  /// Characters that were assigned later are neither letters nor digits to it; the standard library may be newer.
  static let newestUnicodeVersion = 16

  init(_ scalar: Unicode.Scalar) {
    self = scalar.value < 0x80 ? Self.ascii[Int(scalar.value)] : CharacterClass(lookingUp: scalar)
  }

  private static let ascii = (UInt8(0)..<0x80).map { CharacterClass(lookingUp: Unicode.Scalar($0)) }

  private init(lookingUp scalar: Unicode.Scalar) {
    let properties = scalar.properties
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    default:
      self = scalar == "\r" || scalar == "\n" ? .newline : properties.isWhitespace ? .space : .other
      return
    }
    if let age = properties.age, age.major > Self.newestUnicodeVersion { self = .other }
  }
}
