import StrictJSON

/// The merges of a byte-pair encoding: which two neighbouring tokens become which one, and how early.
struct MergeTable: Sendable {
  struct Merge: Sendable {
    /// Position in the list of merges; the lowest is applied first.
    var rank: UInt32
    /// The token that takes the place of the pair.
    var id: Int32
  }

  private var merges: [UInt64: Merge] = [:]
  private var rank: UInt32 = 0

  mutating func reserveCapacity(_ count: Int) { merges.reserveCapacity(count) }

  func merge(_ left: Int32, _ right: Int32) -> Merge? { merges[Self.key(left, right)] }

  /// Adds a merge of a rank of its own.
  mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) { merges[Self.key(left, right)] = merge }

  /// Adds the next merge: of `joined[..<split]` and `joined[split...]`, to `joined`.
  ///
  /// A pair that is listed twice keeps its last rank, as in the `tokenizers` library.
  mutating func append(
    _ joined: [UInt8], split: Int, in vocabulary: TokenTable, file: String
  ) throws(TokenizerError) {
    let bytes = joined.span
    guard
      let left = vocabulary.id(of: bytes.extracting(..<split)),
      let right = vocabulary.id(of: bytes.extracting(split...)),
      let id = vocabulary.id(of: bytes)
    else {
      let parts = [joined[..<split], joined[split...], joined[...]].map { String(decoding: $0, as: UTF8.self) }
      let missing = parts.first { vocabulary.id(of: $0) == nil } ?? ""
      throw .inconsistent(
        "a merge names an unknown token", in: file, expected: "tokens of the vocabulary in merge \(rank + 1)",
        found: "\(quoted(parts[0])) and \(quoted(parts[1])), where \(quoted(missing)) is unknown")
    }
    merges[Self.key(left, right)] = Merge(rank: rank, id: id)
    rank += 1
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}

extension MergeTable {
  /// Adds a merge written as `left right`.
  mutating func append(
    line: ArraySlice<UInt8>, in vocabulary: TokenTable, file: String
  ) throws(TokenizerError) {
    let space = UInt8(ascii: " ")
    guard let split = line.firstIndex(of: space), !line[split...].dropFirst().contains(space) else {
      throw .malformed(
        "malformed merge", in: file, expected: "two tokens with one space between them as merge \(rank + 1)",
        found: quoted(String(decoding: line, as: UTF8.self)))
    }
    try append(
      Array(line[..<split] + line[(split + 1)...]), split: split - line.startIndex, in: vocabulary, file: file)
  }

  /// Reads the `merges` of a `tokenizer.json`: `"left right"` strings or `["left", "right"]` pairs.
  mutating func read(
    from cursor: inout JSONCursor<TokenizerError>, vocabulary: TokenTable, file: String
  ) throws(TokenizerError) {
    var joined: [UInt8] = []
    var right: [UInt8] = []
    try cursor.beginArray("an array for the merges")
    while try cursor.nextElement() {
      if cursor.peek() == UInt8(ascii: "\"") {
        try cursor.readString(into: &joined)
        try append(line: joined[...], in: vocabulary, file: file)
        continue
      }
      try cursor.beginArray("an array for a merge")
      guard try cursor.nextElement() else { throw cursor.malformed("two tokens in a merge") }
      try cursor.readString(into: &joined)
      guard try cursor.nextElement() else { throw cursor.malformed("two tokens in a merge") }
      try cursor.readString(into: &right)
      guard try !cursor.nextElement() else { throw cursor.malformed("two tokens in a merge") }
      let split = joined.count
      joined.append(contentsOf: right)
      try append(joined, split: split, in: vocabulary, file: file)
    }
  }
}
