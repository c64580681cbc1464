public import TensorCore
public import TensorOps

extension CPUBackend {
  /// Attention in tiles with a streaming softmax: scores of a tile of queries with a tile of keys exist at a time, and
  /// no more. Batch items, heads and tiles of queries are shared out to the threads; keys and values are packed once per head.
  /// A query that sees no key gets zeros and `-∞`.
  public func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] {
    guard let first = queries.first, let firstKeys = keyValues.first?.key else {
      preconditionFailure("attention: \(queries.count) tensors of queries and \(keyValues.count) of keys")
    }
    for tensor in queries + keyValues.flatMap({ [$0.key, $0.value] }) {
      tensor.requireFloat32("attention")
      precondition(tensor.shape.rank == 4, "attention: expected [B, L, N, D], found \(tensor)")
    }
    let (batch, heads, size, keyHeads) = (first.shape[0], first.shape[2], first.shape[3], firstKeys.shape[2])
    for query in queries {
      precondition(
        query.shape == [batch, query.shape[1], heads, size], "attention: queries \(first) and \(query) do not fit")
    }
    for key in keyValues.map(\.key) {
      precondition(
        key.shape == [batch, key.shape[1], keyHeads, size], "attention: queries \(first) and keys \(key) do not fit")
    }
    precondition(
      keyHeads > 0 && heads % keyHeads == 0, "attention: \(heads) query heads do not share \(keyHeads) key heads")
    let keyCount = keyValues.reduce(0) { $0 + $1.key.shape[1] }
    let validKeys = mask.validKeys ?? Array(repeating: keyCount, count: batch)
    precondition(
      validKeys.count == batch && validKeys.allSatisfy { (0...keyCount).contains($0) },
      "attention: valid keys \(validKeys) for \(batch) items of \(keyCount) keys")

    let keys = keyValues.map { (HeadRows($0.key, in: self), HeadRows($0.value, in: self)) }
    let extents = try AttentionExtents(
      size: size, longestQueries: queries.map { $0.shape[1] }.max() ?? 0,
      longestKeys: keyValues.map { $0.key.shape[1] }.max() ?? 0, threads: pool.threads, precision: precision, products)
    var outputs: [AttentionOutput] = []
    var groups: [AttentionGroup] = []
    var position = 0
    for query in queries {
      let output = AttentionOutput(
        values: Tensor(uninitialized: query.shape),
        logSumExp: logSumExp ? Tensor(uninitialized: [batch, heads, query.shape[1]]) : nil)
      groups.append(
        AttentionGroup(
          queries: HeadRows(query, in: self), keyValues: keys, result: HeadRows(output.values, in: self),
          logSumExp: output.logSumExp?.floats, scale: scale, firstPosition: position, causalBlock: mask.causalBlock,
          validKeys: validKeys))
      position += query.shape[1]
      outputs.append(output)
    }
    try AttentionSchedule(groups, batch: batch, extents).run(on: pool, products)
    return outputs
  }
}

/// A tensor `[B, L, N, D]` read as one matrix `[L, D]` per batch item and head.
struct HeadRows {
  let tensor: Tensor
  /// The distance of neighbouring tokens.
  let stride: Int

  /// Takes the tensor as it is where heads are dense and tokens do not overlap, else a copy.
  init(_ tensor: Tensor, in backend: CPUBackend) {
    let fits = tensor.hasDenseRows && (tensor.shape[1] <= 1 || tensor.strides[1] >= tensor.shape[3])
    self.tensor = fits ? tensor : backend.copied(tensor)
    stride = max(self.tensor.strides[1], tensor.shape[3], 1)
  }

  var tokens: Int { tensor.shape[1] }
  var heads: Int { tensor.shape[2] }
  var size: Int { tensor.shape[3] }

  func address(_ item: Int, _ head: Int, _ token: Int) -> UnsafeMutablePointer<Float> {
    tensor.floats + item * tensor.strides[0] + head * tensor.strides[2] + token * tensor.strides[1]
  }
}

/// What the tasks of one tensor of queries share.
final class AttentionGroup {
  let queries: HeadRows
  let keyValues: [(keys: HeadRows, values: HeadRows)]
  let result: HeadRows
  /// `[B, N, L]`
  let logSumExp: UnsafeMutablePointer<Float>?
  let scale: Float
  /// The position of the first query among all queries.
  let firstPosition: Int
  let causalBlock: Int?
  let validKeys: [Int]

  init(
    queries: HeadRows, keyValues: [(HeadRows, HeadRows)], result: HeadRows, logSumExp: UnsafeMutablePointer<Float>?,
    scale: Float, firstPosition: Int, causalBlock: Int?, validKeys: [Int]
  ) {
    self.queries = queries
    self.keyValues = keyValues.map { (keys: $0.0, values: $0.1) }
    self.result = result
    self.logSumExp = logSumExp
    self.scale = scale
    self.firstPosition = firstPosition
    self.causalBlock = causalBlock
    self.validKeys = validKeys
  }

  /// How many keys, from the first, a query sees: every mask hides the end of the sequence.
  func visibleKeys(item: Int, token: Int) -> Int {
    let valid = validKeys[item]
    guard let causalBlock else { return valid }
    return min(valid, ((firstPosition + token) / causalBlock + 1) * causalBlock)
  }
}
