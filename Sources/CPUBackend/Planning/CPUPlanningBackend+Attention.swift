public import TensorCore
public import TensorOps

extension CPUPlanningBackend {
  public func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] {
    let (batch, heads, size) = (queries[0].shape[0], queries[0].shape[2], queries[0].shape[3])
    let keys = keyValues.map { (headRows($0.key), headRows($0.value)) }
    let keyCount = keyValues.reduce(0) { $0 + $1.key.shape[1] }
    let extents = try AttentionExtents(
      size: size, longestQueries: queries.map { $0.shape[1] }.max() ?? 0,
      longestKeys: keyValues.map { $0.key.shape[1] }.max() ?? 0, threads: pool.threads, precision: backend.precision,
      backend.products)
    var outputs: [AttentionOutput] = []
    var inputs: [Tensor] = []
    var taskCount = 0
    var tasksPerHead = 0
    for query in queries {
      let tokens = query.shape[1]
      outputs.append(
        AttentionOutput(
          values: tensor(query.shape), logSumExp: logSumExp ? tensor([batch, heads, tokens]) : nil))
      inputs.append(headRows(query))
      let tiles = extents.queryTiles(tokens, heads: batch * heads).map { $0.count }
      taskCount = max(taskCount, tiles.map { extents.taskCount(rows: $0) }.max() ?? 0)
      tasksPerHead += tiles.count
    }
    let keyHeads = keyValues[0].key.shape[2]
    let slots = extents.slots(heads: batch * keyHeads, tasksPerHead: tasksPerHead * (heads / keyHeads))
    let packed = scratch(slots * extents.headCount(tokens: keyValues.map { $0.key.shape[1] }))
    // Those that pack are tasks as well.
    tasks((tasksPerHead + 1) * batch * heads, taskCount)
    note(queries, keyValues, mask, keyCount: keyCount, logSumExp: logSumExp)
    return withExtendedLifetime((keys, inputs, packed)) { outputs }
  }

  private func headRows(_ x: Tensor) -> Tensor {
    let fits = x.hasDenseRows && (x.shape[1] <= 1 || x.strides[1] >= x.shape[3])
    return fits ? x : copied(x)
  }

  private func note(
    _ queries: [Tensor], _ keyValues: [KeyValue], _ mask: AttentionMask, keyCount: Int, logSumExp: Bool
  ) {
    let (shape, keyHeads) = (queries[0].shape, keyValues[0].key.shape[2])
    let count = queries.reduce(0) { $0 + $1.shape[1] }
    // Pairs of a query and a key that it sees.
    var pairs = Double(count) * Double(keyCount)
    if let block = mask.causalBlock, count == keyCount {
      let blocks = Double((count + block - 1) / block)
      pairs *= (blocks + 1) / (2 * blocks)
    }
    let bytes = keyValues.reduce(0) { $0 + 2 * $1.key.byteCount } + queries.reduce(0) { $0 + $1.byteCount }
    note(
      .attention,
      [shape[0], shape[2], keyHeads, shape[3], count, keyCount, mask.causalBlock ?? 0, logSumExp ? 1 : 0],
      operations: 4 * pairs * Double(shape[0] * shape[2] * shape[3]), reads: bytes,
      writes: queries.reduce(0) { $0 + $1.byteCount })
  }

  public func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    let inputs = [try download(a.values), try download(b.values)]
    let values = tensor(a.values.shape)
    let logarithms = a.logSumExp.map { tensor($0.shape) }
    note(
      .merged, [a.values.shape[0] * a.values.shape[1], a.values.shape[2], a.values.shape[3]],
      reads: 2 * a.values.byteCount, writes: a.values.byteCount)
    return withExtendedLifetime(inputs) { AttentionOutput(values: values, logSumExp: logarithms) }
  }
}
