/// The printable character that stands for each byte in the vocabularies of byte-level encodings.
///
/// GPT-2's convention: bytes that are printable in Latin-1 stand for themselves, the others, in order, for
/// U+0100 onwards (a space becomes `Ġ`).
enum ByteLevelAlphabet {
  /// The UTF-8 of the character for each byte: one or two bytes.
  static let symbols: [[UInt8]] = {
    var next: UInt32 = 0x100
    return (UInt32(0)...255).map { byte in
      var character = byte
      if !(0x21...0x7E).contains(byte), !(0xA1...0xAC).contains(byte), !(0xAE...0xFF).contains(byte) {
        character = next
        next += 1
      }
      return character < 0x80 ? [UInt8(character)] : [UInt8(0xC0 | character >> 6), UInt8(0x80 | character & 0x3F)]
    }
  }()
}
