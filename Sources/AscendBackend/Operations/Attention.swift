import CAscend
public import TensorCore
public import TensorOps

// Attention by `aclnnFusedInferAttentionScoreV2` on dense `[B, N, L, D]`: D a multiple of 16 up to 512 (others are padded
// with zeros, which change nothing), N up to 256, lists of length one.

extension AscendBackend {
  public func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] {
    try device.perform { () throws(BackendError) in
      let call = AttentionCall(
        queries: try headsFirst(queries), keys: try headsFirst(keyValues.map(\.key)),
        values: try headsFirst(keyValues.map(\.value)), scale: scale, isLogSumExpWanted: logSumExp)
      let whole = try attend(call, mask)
      let size = queries[0].shape[3]
      var start = 0
      var outputs: [AttentionOutput] = []
      for query in queries {
        let tokens = start..<start + query.shape[1]
        start = tokens.upperBound
        let values = whole.values.slice(2, tokens).slice(3, 0..<size).permuted([0, 2, 1, 3])
        outputs.append(
          AttentionOutput(
            values: try dense(values),
            logSumExp: try whole.logSumExp.map { (all) throws(BackendError) in try dense(all.slice(2, tokens)) }))
      }
      return outputs
    }
  }

  /// Tokens of several tensors `[B, L, N, D]` as one dense `[B, N, ΣL, D]`, D padded with zeros to a multiple of 16.
  private func headsFirst(_ parts: [Tensor]) throws(BackendError) -> Tensor {
    let joined = try joined(parts.map { $0.permuted([0, 2, 1, 3]) }, axis: 2)
    let size = joined.shape[3]
    let padded = size.roundedUp(to: 16)
    if padded == size { return joined }
    let shape = Shape(joined.shape.dimensions.dropLast() + [padded])
    return try result(shape, of: "aclnnConstantPadNd", aclnnConstantPadNdFunction.self) { call, pad, out in
      pad(
        call.tensor(joined), call.integers([0, padded - size]), call.scalar(0), out, call.workspaceSize, call.executor)
    }
  }

  /// Chooses how the mask is said: not at all, by lengths, by calls for blocks of queries, or element by element.
  private func attend(_ call: AttentionCall, _ mask: AttentionMask) throws(BackendError) -> AttentionOutput {
    guard let block = mask.causalBlock else {
      if let validKeys = mask.validKeys, validKeys.contains(where: { $0 < call.keyCount }) {
        // Lengths cannot say that a sequence is empty.
        if validKeys.allSatisfy({ $0 > 0 }) { return try attend(call, lengths: validKeys) }
        return try attend(call, elements: mask)
      }
      return try attend(call)
    }
    // Few large blocks: each sees a prefix of the keys, and nothing is computed in vain. Many small ones: one mask.
    if mask.validKeys == nil && call.queryCount <= 64 * block { return try attendBlockwise(call, block) }
    return try attend(call, elements: mask)
  }

  private func attendBlockwise(_ call: AttentionCall, _ block: Int) throws(BackendError) -> AttentionOutput {
    var values: [Tensor] = []
    var logarithms: [Tensor] = []
    for start in stride(from: 0, to: call.queryCount, by: block) {
      let keys = 0..<min(start + block, call.keyCount)
      let part = AttentionCall(
        queries: try dense(call.queries.slice(2, start..<min(start + block, call.queryCount))),
        keys: try dense(call.keys.slice(2, keys)), values: try dense(call.values.slice(2, keys)), scale: call.scale,
        isLogSumExpWanted: call.isLogSumExpWanted)
      let output = try attend(part)
      values.append(output.values)
      if let logSumExp = output.logSumExp { logarithms.append(logSumExp) }
    }
    return AttentionOutput(
      values: try joined(values, axis: 2), logSumExp: logarithms.isEmpty ? nil : try joined(logarithms, axis: 2))
  }

  /// A mask of one byte per query and key, 1 where the key is hidden, for small sequences.
  private func attend(_ call: AttentionCall, elements mask: AttentionMask) throws(BackendError) -> AttentionOutput {
    let batch = mask.validKeys == nil ? 1 : call.queries.shape[0]
    let hidden = Tensor(uninitialized: [batch, 1, call.queryCount, call.keyCount], .bool)
    let bytes = UnsafeMutableBufferPointer(
      start: hidden.mutableHostPointer.assumingMemoryBound(to: UInt8.self), count: hidden.count)
    var position = 0
    for item in 0..<batch {
      let valid = mask.validKeys?[item] ?? call.keyCount
      for query in 0..<call.queryCount {
        let visible = mask.causalBlock.map { min(valid, (query / $0 + 1) * $0) } ?? valid
        for key in 0..<call.keyCount {
          bytes[position] = key < visible ? 0 : 1
          position += 1
        }
      }
    }
    let output = try attend(call, hidden: try uploadAsIs(hidden))
    guard let logarithms = output.logSumExp, let validKeys = mask.validKeys, validKeys.contains(0) else {
      return output
    }
    // CANN says plus infinity where there is no key; to merging, no key is minus infinity.
    let nothing = Tensor(
      repeating: -.infinity, shape: Shape([1] + logarithms.shape.dimensions.dropFirst()))
    let items = try validKeys.enumerated().map { (item, valid) throws(BackendError) in
      valid > 0 ? logarithms.slice(0, item..<item + 1) : try uploadAsIs(nothing)
    }
    return AttentionOutput(values: output.values, logSumExp: try joined(items, axis: 0))
  }

  /// The call itself. scaleValue has no default worth having; sparseMode 0 takes a whole mask or none; innerPrecise 2
  /// gives rows without a visible key a meaning. Logarithms are float32 `[B, N, L, 1]`.
  private func attend(
    _ operands: AttentionCall, lengths: [Int]? = nil, hidden: Tensor? = nil
  ) throws(BackendError) -> AttentionOutput {
    let q = operands.queries
    let heads = Int64(q.shape[1])
    let name = "aclnnFusedInferAttentionScoreV2"
    let logarithms =
      try operands.isLogSumExpWanted
      ? device.tensor([q.shape[0], q.shape[1], q.shape[2], 1], .float32, for: name) : nil
    let everything = Int64(Int32.max)
    let values = try result(q.shape, of: name, aclnnFusedInferAttentionScoreV2Function.self) { call, attend, out in
      attend(
        call.tensor(q), call.list([operands.keys]), call.list([operands.values]), nil, call.tensor(hidden), nil,
        lengths.flatMap { call.integers($0) }, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
        nil, nil, nil, heads, Double(operands.scale), everything, everything, InputLayout.headsFirst.value,
        Int64(operands.keys.shape[1]), 0, hidden == nil ? 0 : 2, 0, 0, logarithms != nil, 0, 0, out,
        call.tensor(logarithms), call.workspaceSize, call.executor)
    }
    return AttentionOutput(values: values, logSumExp: logarithms?.reshaped(Shape(q.shape.dimensions.dropLast())))
  }
}

/// Operands of one attention: dense `[B, N, L, D]`.
private struct AttentionCall {
  let queries: Tensor
  let keys: Tensor
  let values: Tensor
  let scale: Float
  let isLogSumExpWanted: Bool

  var queryCount: Int { queries.shape[2] }
  var keyCount: Int { keys.shape[2] }
}

/// Names of layouts as C has them. They live for ever: nobody says whether an operator reads them in its second phase.
private enum InputLayout {
  /// `[B, N, L, D]`
  static let headsFirst = Transferred(named("BNSD"))

  private static func named(_ name: String) -> UnsafeMutablePointer<CChar> {
    let characters = name.utf8CString
    let start = UnsafeMutablePointer<CChar>.allocate(capacity: characters.count)
    for (index, character) in characters.enumerated() { (start + index).initialize(to: character) }
    return start
  }
}
