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

    let keyTensors = keyValues.map { (keys: withDenseHeads($0.key), values: withDenseHeads($0.value)) }
    let queryTensors = queries.map { withDenseHeads($0) }
    let extents = try AttentionExtents(
      size: size, longestQueries: queries.map { $0.shape[1] }.max() ?? 0,
      longestKeys: keyValues.map { $0.key.shape[1] }.max() ?? 0, threads: workspace.threads, precision: precision,
      products)
    var outputs: [AttentionOutput] = []
    var groups: [AttentionGroup] = []
    var position = 0
    for query in queryTensors {
      let output = AttentionOutput(
        values: workspace.tensor(query.shape),
        logSumExp: logSumExp ? workspace.tensor([batch, heads, query.shape[1]]) : nil)
      groups.append(
        AttentionGroup(
          queries: HeadRows(query), result: HeadRows(output.values), logSumExp: output.logSumExp?.floats,
          scale: scale, firstPosition: position, causalBlock: mask.causalBlock))
      position += query.shape[1]
      outputs.append(output)
    }
    noteAttention(queries, keyValues, mask, logSumExp: logSumExp)
    // The groups hold addresses only.
    try withExtendedLifetime((keyTensors, queryTensors, outputs)) { () throws(BackendError) in
      let keys = keyTensors.map { (keys: HeadRows($0.keys), values: HeadRows($0.values)) }
      try AttentionSchedule(groups, keys, validKeys: validKeys, extents).run(in: workspace, products)
    }
    return outputs
  }

  private func noteAttention(
    _ queries: [Tensor], _ keyValues: [KeyValue], _ mask: AttentionMask, logSumExp: Bool
  ) {
    let (shape, keys) = (queries[0].shape, keyValues[0].key.shape)
    let (queryCount, keyCount) = (queries.reduce(0) { $0 + $1.shape[1] }, keyValues.reduce(0) { $0 + $1.key.shape[1] })
    let moved = queries.reduce(0) { $0 + $1.byteCount }
    workspace.note(
      .attention,
      [shape[0], shape[2], keys[2], shape[3], queryCount, keyCount, mask.causalBlock ?? 0, logSumExp ? 1 : 0],
      operations: 4 * mask.pairs(batch: shape[0], queries: queryCount, keys: keyCount) * Double(shape[2] * shape[3]),
      reads: moved + keyValues.reduce(0) { $0 + 2 * $1.key.byteCount }, writes: moved)
  }

  /// The tensor `[B, L, N, D]` as it is where heads are dense and tokens do not overlap, else a copy.
  private func withDenseHeads(_ x: Tensor) -> Tensor {
    x.hasDenseRows && (x.shape[1] <= 1 || x.strides[1] >= x.shape[3]) ? x : copied(x)
  }
}

/// A tensor `[B, L, N, D]` read as one matrix `[L, D]` per batch item and head. It holds addresses, and the tensor has to outlive it:
/// the innermost loops of all threads read it, and counting references to one tensor there took a quarter of their time.
struct HeadRows {
  private let first: UnsafeMutablePointer<Float>
  private let itemStride: Int
  private let headStride: Int
  /// The distance of neighbouring tokens.
  let stride: Int
  let tokens: Int
  let heads: Int
  let size: Int

  init(_ tensor: Tensor) {
    first = tensor.floats
    (itemStride, headStride) = (tensor.strides[0], tensor.strides[2])
    (tokens, heads, size) = (tensor.shape[1], tensor.shape[2], tensor.shape[3])
    stride = max(tensor.strides[1], size, 1)
  }

  func address(_ item: Int, _ head: Int, _ token: Int) -> UnsafeMutablePointer<Float> {
    first + item * itemStride + head * headStride + token * stride
  }
}

/// What the tasks of one tensor of queries share.
struct AttentionGroup {
  let queries: HeadRows
  let result: HeadRows
  /// `[B, N, L]`
  let logSumExp: UnsafeMutablePointer<Float>?
  let scale: Float
  /// The position of the first query among all queries.
  let firstPosition: Int
  let causalBlock: Int?
}
