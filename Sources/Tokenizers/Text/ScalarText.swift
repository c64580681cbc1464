/// A text as Unicode scalars, each with the bytes of the user's text it came from.
///
/// Without normalization the ranges are the scalars' own; with it several scalars may share a range.
struct ScalarText: Sendable {
  private(set) var scalars: [Unicode.Scalar] = []
  private(set) var classes: [CharacterClass] = []
  /// UTF-8 offsets into the user's text.
  private(set) var sources: [Range<Int>] = []

  var count: Int { scalars.count }

  init() {}

  init(_ text: String) {
    scalars.reserveCapacity(text.utf8.count)
    classes.reserveCapacity(text.utf8.count)
    sources.reserveCapacity(text.utf8.count)
    var offset = 0
    for scalar in text.unicodeScalars {
      let end = offset + UTF8.width(scalar)
      append(scalar, from: offset..<end)
      offset = end
    }
  }

  mutating func append(_ scalar: Unicode.Scalar, from source: Range<Int>) {
    scalars.append(scalar)
    classes.append(CharacterClass(scalar))
    sources.append(source)
  }
}

extension UTF8 {
  /// How many bytes of UTF-8 the scalar takes.
  static func width(_ scalar: Unicode.Scalar) -> Int {
    scalar.value < 0x80 ? 1 : scalar.value < 0x800 ? 2 : scalar.value < 0x10000 ? 3 : 4
  }
}
