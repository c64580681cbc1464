public import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension ReferenceBackend {
  /// All scores of a query, their softmax, the mean of the values. A query that sees no key gets zeros and `-∞`.
  public func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] {
    guard let first = queries.first, let firstKeys = keyValues.first?.key else {
      preconditionFailure("attention: \(queries.count) tensors of queries and \(keyValues.count) of keys")
    }
    for tensor in queries + keyValues.map(\.key) {
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

    let keys = HeadVectors(
      values: join(keyValues.map { (read($0.key, "attention"), $0.key.count / max(batch, 1)) }, blocks: batch),
      tokens: keyCount, heads: keyHeads, size: size)
    let values = join(
      keyValues.map { (read($0.value, "attention"), $0.value.count / max(batch, 1)) }, blocks: batch)
    let block = mask.causalBlock ?? .max  // without a mask all tokens are one block
    var position = 0  // of a tensor's first query among all queries
    var outputs: [AttentionOutput] = []
    for query in queries {
      let q = HeadVectors(
        values: read(query, "attention"), tokens: query.shape[1], heads: heads, size: size)
      var result: [Float] = []
      var logarithms = [Float](repeating: -.infinity, count: batch * heads * q.tokens)
      for item in 0..<batch {
        for token in 0..<q.tokens {
          for head in 0..<heads {
            let keyHead = head / (heads / keyHeads)
            let seen = (0..<validKeys[item]).filter { $0 / block <= (position + token) / block }
            let scores = seen.map { key in
              Double(scale) * q.product(q.start(item, token, head), keys, keys.start(item, key, keyHead))
            }
            let largest = scores.max() ?? 0
            var denominator = 0.0
            var mean = [Double](repeating: 0, count: size)
            for (key, score) in zip(seen, scores) {
              let weight = exp(score - largest)
              let start = keys.start(item, key, keyHead)
              denominator += weight
              for channel in 0..<size { mean[channel] += weight * Double(values[start + channel]) }
            }
            result += mean.map { seen.isEmpty ? 0 : Float($0 / denominator) }
            if !seen.isEmpty {
              logarithms[(item * heads + head) * q.tokens + token] = Float(largest + log(denominator))
            }
          }
        }
      }
      outputs.append(
        AttentionOutput(
          values: Tensor(result, shape: query.shape),
          logSumExp: logSumExp ? Tensor(logarithms, shape: [batch, heads, q.tokens]) : nil))
      position += q.tokens
    }
    return outputs
  }
}

/// The elements of a dense `[B, L, N, D]`.
private struct HeadVectors {
  let values: [Float]
  let tokens: Int
  let heads: Int
  let size: Int

  /// The position of the first element of a vector.
  func start(_ item: Int, _ token: Int, _ head: Int) -> Int { ((item * tokens + token) * heads + head) * size }

  /// The scalar product of the vector that starts at `start` with another's.
  func product(_ start: Int, _ other: HeadVectors, _ otherStart: Int) -> Double {
    var sum = 0.0
    for channel in 0..<size { sum += Double(values[start + channel]) * Double(other.values[otherStart + channel]) }
    return sum
  }
}
