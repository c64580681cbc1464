/// A token outside the merges that is recognised in the text as it stands, like `<|eot_id|>`.
struct AddedToken: Equatable, Sendable {
  var content: String
  var id: Int32
  /// Whether it is looked for in the normalized text (and normalized itself) instead of in the text as given.
  var isNormalized = false
}

/// Finds added tokens in a text: the leftmost first, and of several that start there the longest.
struct AddedTokens: Sendable {
  /// A tree over the tokens' scalars: `children` leads from a node and a scalar to the next node.
  private var children: [UInt64: Int32] = [:]
  /// The token that ends at each node.
  private var ids: [Int32?] = [nil]

  init() {}

  init(_ tokens: some Sequence<(content: [Unicode.Scalar], id: Int32)>) {
    for (content, id) in tokens where !content.isEmpty {
      var node: Int32 = 0
      for scalar in content {
        let edge = Self.edge(node, scalar)
        if let child = children[edge] {
          node = child
        } else {
          node = Int32(ids.count)
          children[edge] = node
          ids.append(nil)
        }
      }
      ids[Int(node)] = id
    }
  }

  /// Cuts `range` of the text into added tokens (with their ids) and what lies between them (without).
  func segments(of range: Range<Int>, in text: ScalarText) -> [(range: Range<Int>, id: Int32?)] {
    guard !children.isEmpty else { return [(range, nil)] }
    var segments: [(range: Range<Int>, id: Int32?)] = []
    var plain = range.lowerBound
    var position = range.lowerBound
    while position < range.upperBound {
      guard let (end, id) = longestToken(at: position, before: range.upperBound, in: text) else {
        position += 1
        continue
      }
      if plain < position { segments.append((plain..<position, nil)) }
      segments.append((position..<end, id))
      position = end
      plain = end
    }
    if plain < range.upperBound { segments.append((plain..<range.upperBound, nil)) }
    return segments
  }

  private func longestToken(at start: Int, before limit: Int, in text: ScalarText) -> (end: Int, id: Int32)? {
    var node: Int32 = 0
    var longest: (end: Int, id: Int32)?
    var position = start
    while position < limit, let child = children[Self.edge(node, text.scalars[position])] {
      node = child
      position += 1
      if let id = ids[Int(node)] { longest = (position, id) }
    }
    return longest
  }

  private static func edge(_ node: Int32, _ scalar: Unicode.Scalar) -> UInt64 {
    UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar.value)
  }
}
