#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension TokenizerDefinition {
  /// Reads LLaMA-3's `tokenizer.model` as Meta publishes it: a line for each token, its bytes in base64 and its rank, which is
  /// both its id and how early it is merged. Special tokens are not in the file: they have the ids that follow.
  ///
  /// Source: `llama3/llama/tokenizer.py` (`Tokenizer`), `tiktoken/load.py` (`load_tiktoken_bpe`).
  init(ranks file: String, _ configuration: TokenizerConfiguration) throws(TokenizerError) {
    var vocabulary = TokenTable()
    var tokens: [[UInt8]] = []
    let contents = try TokenizerFiles.contents(of: file)
    for line in contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
      let (bytes, rank) = try Self.token(line, after: tokens.count, in: file)
      let symbols = bytes.flatMap { ByteLevelAlphabet.symbols[Int($0)] }
      guard vocabulary.insert(symbols.span, id: rank) else {
        throw .inconsistent(
          "a token occurs twice", in: file, expected: "each token once", found: "line \(tokens.count + 1)")
      }
      tokens.append(bytes)
    }
    let merges = MergeTable(ranked: tokens, in: vocabulary)
    let model = try BytePairModel(
      vocabulary: vocabulary, merges: merges, options: .init(ignoresMerges: true), file: file)
    let named = Self.specialTokens.enumerated().map { index, token in
      AddedToken(content: token, id: Int32(tokens.count + index))
    }
    // A configuration beside the file has the last word: LLaVA's adds tokens behind LLaMA's.
    let given = Set(configuration.addedTokens.map(\.id))
    let texts = Set(configuration.addedTokens.map(\.content))
    let kept = named.filter { !given.contains($0.id) && !texts.contains($0.content) }
    try self.init(model: model, addedTokens: kept + configuration.addedTokens, file: file)
  }

  /// LLaMA-3's special tokens in the order of their ids.
  private static let specialTokens: [String] = {
    func reserved(_ numbers: Range<Int>) -> [String] { numbers.map { "<|reserved_special_token_\($0)|>" } }
    return ["<|begin_of_text|>", "<|end_of_text|>"] + reserved(0..<4) + ["<|start_header_id|>", "<|end_header_id|>"]
      + reserved(4..<5) + ["<|eot_id|>"] + reserved(5..<251)
  }()

  /// The token of one line; ranks count up from 0.
  private static func token(
    _ line: ArraySlice<UInt8>, after count: Int, in file: String
  ) throws(TokenizerError) -> (bytes: [UInt8], rank: Int32) {
    func malformed(_ found: String) -> TokenizerError {
      .malformed(
        "malformed tokenizer.model", in: file,
        expected: "bytes in base64, a space and the rank \(count) in line \(count + 1)", found: found)
    }
    let isText = line.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x0D }
    guard isText, line.count < 512 else {
      throw malformed("binary data (a SentencePiece model, as LLaMA-2 has, is not read)")
    }
    let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    let text = String(decoding: line.prefix(80), as: UTF8.self)
    guard parts.count == 2, let data = Data(base64Encoded: Data(parts[0])), !data.isEmpty,
      let rank = Int(String(decoding: parts[1], as: UTF8.self).trimmingSuffix("\r")), rank == count
    else { throw malformed(quoted(text)) }
    return ([UInt8](data), try checkedTokenID(rank, of: "a token", in: file))
  }
}

extension MergeTable {
  /// Every way to put a token together from two others, as early as the token's rank: what `tiktoken` does, where two
  /// neighbours are joined if together they are a token, the lowest rank first.
  init(ranked tokens: [[UInt8]], in vocabulary: TokenTable) {
    self.init()
    reserveCapacity(2 * tokens.count)
    for (rank, bytes) in tokens.enumerated() where bytes.count > 1 {
      let symbols = bytes.map { ByteLevelAlphabet.symbols[Int($0)] }
      let joined = symbols.flatMap { $0 }
      let span = joined.span
      var split = 0
      for symbol in symbols.dropLast() {
        split += symbol.count
        if let left = vocabulary.id(of: span.extracting(..<split)),
          let right = vocabulary.id(of: span.extracting(split...))
        {
          insert(left, right, Merge(rank: UInt32(rank), id: Int32(rank)))
        }
      }
    }
  }
}

extension String {
  fileprivate func trimmingSuffix(_ suffix: String) -> Substring {
    hasSuffix(suffix) ? dropLast(suffix.count) : self[...]
  }
}
