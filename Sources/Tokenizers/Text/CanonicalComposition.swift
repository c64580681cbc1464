/// Normalization form C of Unicode 9.0, with the source of every scalar kept.
///
/// The standard library's own normalization is not public, and Foundation's on Linux disagrees with Unicode on
/// Hangul and newer characters. Unicode 9.0 is the version of the `tokenizers` library's normalizer: what was
/// assigned later passes through as it is.
enum CanonicalComposition {
  struct Element {
    var scalar: Unicode.Scalar
    /// UTF-8 range in the user's text.
    var source: Range<Int>
    fileprivate var combiningClass: UInt8 = 0
  }

  /// The normalized form of a range of a text.
  static func normalize(_ range: Range<Int>, of text: ScalarText) -> [Element] {
    let elements = range.map { Element(scalar: text.scalars[$0], source: text.sources[$0]) }
    // Below U+0300 every character is composed already and none combines.
    guard elements.contains(where: { $0.scalar.value >= 0x300 }) else { return elements }

    var decomposed: [Element] = []
    decomposed.reserveCapacity(elements.count)
    for element in elements { decompose(element, into: &decomposed) }
    reorder(&decomposed)
    compose(&decomposed)
    return decomposed
  }

  // MARK: Steps

  private static func decompose(_ element: Element, into result: inout [Element]) {
    let value = element.scalar.value
    func append(_ part: UInt32) {
      guard let scalar = Unicode.Scalar(part) else { return }
      decompose(Element(scalar: scalar, source: element.source), into: &result)
    }
    if value >= 0xC0, let (first, second) = tables.decompositions[value] {
      append(first)
      if second != 0 { append(second) }
    } else if Hangul.syllables.contains(value) {
      let index = value - Hangul.syllables.lowerBound
      append(Hangul.leads.lowerBound + index / (Hangul.vowelCount * Hangul.tailCount))
      append(Hangul.vowels.lowerBound + index / Hangul.tailCount % Hangul.vowelCount)
      if index % Hangul.tailCount != 0 { append(Hangul.tailBase + index % Hangul.tailCount) }
    } else {
      var element = element
      element.combiningClass = combiningClass(of: element.scalar)
      result.append(element)
    }
  }

  /// Sorts each run of combining marks by class, equal classes in their order.
  private static func reorder(_ elements: inout [Element]) {
    var start = 0
    while start < elements.count {
      guard elements[start].combiningClass != 0 else {
        start += 1
        continue
      }
      var end = start + 1
      while end < elements.count, elements[end].combiningClass != 0 { end += 1 }
      if end - start > 1 {
        let sorted = elements[start..<end].enumerated().sorted {
          ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
        }
        elements.replaceSubrange(start..<end, with: sorted.map(\.element))
      }
      start = end
    }
  }

  /// Joins each starter with the marks after it that are not blocked by another of the same or a higher class.
  private static func compose(_ elements: inout [Element]) {
    var starter: Int?
    var lastClass: UInt8 = 0
    var count = 0
    for index in elements.indices {
      let element = elements[index]
      let isAdjacent = starter == count - 1
      if let starter, isAdjacent || lastClass < element.combiningClass,
        let composite = composite(elements[starter].scalar, element.scalar)
      {
        let source = elements[starter].source
        elements[starter].scalar = composite
        elements[starter].source =
          min(source.lowerBound, element.source.lowerBound)..<max(source.upperBound, element.source.upperBound)
        continue
      }
      elements[count] = element
      if element.combiningClass == 0 { starter = count }
      lastClass = element.combiningClass
      count += 1
    }
    elements.removeSubrange(count...)
  }

  private static func composite(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    let (left, right) = (first.value, second.value)
    if Hangul.leads.contains(left), Hangul.vowels.contains(right) {
      let pair = (left - Hangul.leads.lowerBound) * Hangul.vowelCount + right - Hangul.vowels.lowerBound
      return Unicode.Scalar(Hangul.syllables.lowerBound + pair * Hangul.tailCount)
    }
    if Hangul.syllables.contains(left), (left - Hangul.syllables.lowerBound) % Hangul.tailCount == 0,
      Hangul.tails.contains(right)
    {
      return Unicode.Scalar(left + right - Hangul.tailBase)
    }
    return tables.compositions[UInt64(left) << 32 | UInt64(right)].flatMap { Unicode.Scalar($0) }
  }

  private static func combiningClass(of scalar: Unicode.Scalar) -> UInt8 {
    let properties = scalar.properties
    let value = properties.canonicalCombiningClass.rawValue
    guard value != 0, let age = properties.age, age.major <= 9 else { return 0 }
    return value
  }

  // MARK: Tables

  private enum Hangul {
    static let leads: Range<UInt32> = 0x1100..<0x1113
    static let vowels: Range<UInt32> = 0x1161..<0x1176
    static let tails: Range<UInt32> = 0x11A8..<0x11C3
    static let tailBase: UInt32 = 0x11A7
    static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
    static let vowelCount: UInt32 = 21
    static let tailCount: UInt32 = 28
  }

  private struct Tables {
    /// The parts of a character; the second is 0 where there is only one.
    var decompositions: [UInt32: (UInt32, UInt32)] = [:]
    var compositions: [UInt64: UInt32] = [:]

    init() {
      for (character, first, second) in Self.entries(CanonicalDecompositionTable.composable) {
        decompositions[character] = (first, second)
        compositions[UInt64(first) << 32 | UInt64(second)] = character
      }
      for (character, first, second) in Self.entries(CanonicalDecompositionTable.replaced) {
        decompositions[character] = (first, second)
      }
    }

    /// The entries of a table: three numbers each, the last 0 where there is no second part.
    private static func entries(_ table: String) -> [(UInt32, UInt32, UInt32)] {
      table.utf8.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }.map { entry in
        let numbers = entry.split { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: "+") }.map { digits in
          digits.reduce(UInt32(0)) { $0 << 4 | UInt32($1 < 0x40 ? $1 - 0x30 : $1 - 0x37) }
        }
        return (numbers[0], numbers[1], numbers.count > 2 ? numbers[2] : 0)
      }
    }
  }

  private static let tables = Tables()
}
