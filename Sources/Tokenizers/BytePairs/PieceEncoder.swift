/// Encodes one pre-token after the other and keeps track of where in the user's text each token comes from.
struct PieceEncoder {
  let model: BytePairModel
  private(set) var tokens: [SourcedToken] = []

  private var scratch = BytePairModel.Scratch()
  private var bytes: [UInt8] = []
  /// The scalar each byte belongs to.
  private var owners: [Int] = []

  init(model: BytePairModel) { self.model = model }

  /// Appends a token that was recognised as a whole.
  mutating func append(_ id: Int32, for range: Range<Int>, in text: ScalarText) {
    tokens.append(SourcedToken(id: id, source: Self.source(of: range, in: text)))
  }

  /// Appends the tokens of the pre-token `range`.
  mutating func encode(_ range: Range<Int>, of text: ScalarText) {
    bytes.removeAll(keepingCapacity: true)
    owners.removeAll(keepingCapacity: true)
    for index in range {
      let scalar = text.scalars[index]
      bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      for _ in 0..<UTF8.width(scalar) { owners.append(index) }
    }
    var start = 0
    model.encode(bytes, scratch: &scratch) { id, byteCount in
      let end = start + byteCount
      let source = Self.source(of: owners[start]..<owners[end - 1] + 1, in: text)
      tokens.append(SourcedToken(id: id, source: source))
      start = end
    }
  }

  /// The smallest range of the user's text that holds the sources of all scalars in `range`.
  private static func source(of range: Range<Int>, in text: ScalarText) -> Range<Int> {
    var source = text.sources[range.lowerBound]
    for index in range.dropFirst() {
      let other = text.sources[index]
      source = min(source.lowerBound, other.lowerBound)..<max(source.upperBound, other.upperBound)
    }
    return source
  }
}
