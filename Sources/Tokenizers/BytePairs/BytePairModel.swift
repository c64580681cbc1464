/// Byte-pair encoding of one pre-token: from its bytes to token ids.
///
/// The same steps as the `BPE` model of the `tokenizers` library 0.20 to 0.23, including the order in which
/// merges of equal rank are applied.
struct BytePairModel: Sendable {
  struct Options: Sendable {
    /// Appended to the last symbol of each pre-token (CLIP's `</w>`).
    var endOfWordSuffix = ""
    /// Takes the place of symbols the vocabulary does not have.
    var unknownToken: String?
    /// Whether a pre-token that is a token as a whole is taken without walking the merges.
    var ignoresMerges = false
  }

  let vocabulary: TokenTable
  let options: Options

  private let merges: MergeTable
  /// The token of each byte in the middle of a pre-token, and at its end; nil where there is none.
  private let symbols: [Int32?]
  private let lastSymbols: [Int32?]
  private let unknownID: Int32?

  /// - Throws: `inconsistent` where some byte would have neither a token nor an unknown token to stand for it,
  ///   where the unknown token is not in the vocabulary, or where two tokens share an id.
  init(vocabulary: TokenTable, merges: MergeTable, options: Options, file: String) throws(TokenizerError) {
    if let (id, first, second) = vocabulary.duplicateID() {
      throw .inconsistent(
        "a token id is used twice", in: file, expected: "one token for id \(id)",
        found: "\(quoted(first)) and \(quoted(second))")
    }
    var unknownID: Int32?
    if let token = options.unknownToken {
      unknownID = vocabulary.id(of: token)
      guard unknownID != nil else {
        throw .inconsistent(
          "the unknown token is not in the vocabulary", in: file, expected: "an id for \(quoted(token))", found: "none")
      }
    }
    self.vocabulary = vocabulary
    self.merges = merges
    self.options = options
    self.unknownID = unknownID
    symbols = ByteLevelAlphabet.symbols.map { vocabulary.id(of: $0) }
    lastSymbols = ByteLevelAlphabet.symbols.map { vocabulary.id(of: $0 + options.endOfWordSuffix.utf8) }
    if unknownID == nil, let byte = (symbols + lastSymbols).firstIndex(of: nil) {
      let symbol = String(decoding: ByteLevelAlphabet.symbols[byte % 256], as: UTF8.self)
      throw .inconsistent(
        "a byte has no token", in: file, expected: "a token for each of the 256 bytes, or an unknown token",
        found: "none for byte \(byte % 256) (\(quoted(symbol + (byte < 256 ? "" : options.endOfWordSuffix))))")
    }
  }

  /// Working memory that is kept from one pre-token to the next.
  struct Scratch {
    fileprivate var symbols: [Symbol] = []
    fileprivate var queue = MergeQueue()
    fileprivate var text: [UInt8] = []
  }

  fileprivate struct Symbol {
    var id: Int32
    /// Bytes of the pre-token it covers; 0 once it is merged into its left neighbour.
    var length: Int32
    var previous: Int32
    var next: Int32
  }

  /// Calls `emit` with each token of the pre-token `piece` and the number of bytes it covers, in order.
  func encode(_ piece: [UInt8], scratch: inout Scratch, emit: (_ id: Int32, _ byteCount: Int) -> Void) {
    guard !piece.isEmpty else { return }
    if options.ignoresMerges {
      scratch.text.removeAll(keepingCapacity: true)
      for byte in piece { scratch.text.append(contentsOf: ByteLevelAlphabet.symbols[Int(byte)]) }
      if let id = vocabulary.id(of: scratch.text) {
        emit(id, piece.count)
        return
      }
    }
    split(piece, into: &scratch.symbols)
    merge(&scratch.symbols, queue: &scratch.queue)
    for symbol in scratch.symbols where symbol.length > 0 { emit(symbol.id, Int(symbol.length)) }
  }

  private func split(_ piece: [UInt8], into word: inout [Symbol]) {
    word.removeAll(keepingCapacity: true)
    for (index, byte) in piece.enumerated() {
      let isLast = index == piece.count - 1
      // The initialiser made sure that one of the two exists.
      guard let id = (isLast ? lastSymbols : symbols)[Int(byte)] ?? unknownID else { continue }
      let place = Int32(word.count)
      word.append(Symbol(id: id, length: 1, previous: place - 1, next: isLast ? -1 : place + 1))
    }
  }

  /// Applies merges, lowest rank first and leftmost among equals, until none is left.
  private func merge(_ word: inout [Symbol], queue: inout MergeQueue) {
    queue.removeAll()
    for index in word.indices.dropLast() {
      if let merge = merges.merge(word[index].id, word[index + 1].id) { queue.insert(merge, at: Int32(index)) }
    }
    while let candidate = queue.removeFirst() {
      let place = candidate.position
      let next = Int(word[place].next)
      guard word[place].length > 0, next >= 0 else { continue }
      // The pair may have changed since it was queued. Only the resulting token is compared, not the rank:
      // another pair that now stands here and makes the same token is merged with the older rank.
      guard merges.merge(word[place].id, word[next].id)?.id == candidate.id else { continue }

      word[place].id = candidate.id
      word[place].length += word[next].length
      word[place].next = word[next].next
      word[next].length = 0
      let following = Int(word[place].next)
      if following >= 0 { word[following].previous = Int32(place) }

      let previous = Int(word[place].previous)
      if previous >= 0, let merge = merges.merge(word[previous].id, candidate.id) {
        queue.insert(merge, at: Int32(previous))
      }
      if following >= 0, let merge = merges.merge(candidate.id, word[following].id) {
        queue.insert(merge, at: Int32(place))
      }
    }
  }
}
