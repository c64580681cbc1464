import TensorCore
import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The attention of some neighbouring queries of one head, on one thread.
struct AttentionTask {
  let group: AttentionGroup
  let item: Int
  let head: Int
  let tokens: Range<Int>

  /// Measured (docs/speed.md): oneDNN packs keys and values for each product, so tiles are as large as the caches bear.
  private static let queryTile = 512
  static let keyTile = 512

  /// Divides the queries into tiles, enough of them for all threads.
  static func tiles(_ count: Int, heads: Int, _ threads: Int) -> [Range<Int>] {
    let wanted = max(1, (2 * threads + heads - 1) / max(heads, 1))
    let tiles = max((count + queryTile - 1) / queryTile, min(wanted, (count + 63) / 64))
    return AttentionTask.tiles(count, into: tiles)
  }

  /// About equal ranges; oneDNN is fastest where their lengths are multiples of 64.
  private static func tiles(_ count: Int, into tiles: Int) -> [Range<Int>] {
    if count == 0 { return [] }
    let length = count <= tiles * 64 ? (count + tiles - 1) / tiles : ((count + tiles - 1) / tiles + 63) / 64 * 64
    return stride(from: 0, to: count, by: length).map { $0..<min($0 + length, count) }
  }

  func run() throws(BackendError) {
    let rows = tokens.count
    let size = group.queries.size
    let sums = Scratch(count: rows * (size + 2))
    defer { withExtendedLifetime(sums) {} }
    let state = SoftmaxState(rows: rows, size: size, memory: sums.floats)
    let width = min(AttentionTask.keyTile, group.keyValues.reduce(1) { max($0, $1.keys.tokens) })
    try Scratch.with(count: rows * width) { (scores) throws(BackendError) in
      var start = 0
      for (keys, values) in group.keyValues {
        let count = (keys.tokens + AttentionTask.keyTile - 1) / AttentionTask.keyTile
        for tile in AttentionTask.tiles(keys.tokens, into: count) {
          try add(keys, values, tile, position: start + tile.lowerBound, scores, state)
        }
        start += keys.tokens
      }
    }
    finish(state)
  }

  /// Takes a tile of keys and values into account.
  private func add(
    _ keys: HeadRows, _ values: HeadRows, _ tile: Range<Int>, position: Int, _ scores: UnsafeMutablePointer<Float>,
    _ state: SoftmaxState
  ) throws(BackendError) {
    let seenByLast = group.visibleKeys(item: item, token: tokens.upperBound - 1) - position
    let columns = min(tile.count, seenByLast)
    if columns <= 0 { return }
    let keyHead = head / (group.queries.heads / keys.heads)
    let key = OneDNN.Factor(
      address: UnsafePointer(keys.address(item, keyHead, tile.lowerBound)), rowStride: keys.stride, isTransposed: true)
    try OneDNN.multiply(
      UnsafePointer(group.queries.address(item, head, tokens.lowerBound)), rowStride: group.queries.stride, key,
      rows: state.rows, columns: columns, inner: state.size, scale: group.scale, into: scores, rowStride: columns,
      "attention")
    for row in 0..<state.rows {
      let seen = group.visibleKeys(item: item, token: tokens.lowerBound + row) - position
      state.weigh(scores + row * columns, count: columns, seen: min(max(seen, 0), columns), row: row)
    }
    let value = OneDNN.Factor(
      address: UnsafePointer(values.address(item, keyHead, tile.lowerBound)), rowStride: values.stride,
      isTransposed: false)
    try OneDNN.multiply(
      UnsafePointer(scores), rowStride: columns, value, rows: state.rows, columns: state.size, inner: columns,
      adds: true, into: state.sums, rowStride: state.size, "attention")
  }

  private func finish(_ state: SoftmaxState) {
    for row in 0..<state.rows {
      let denominator = state.denominators[row]
      let inverse = denominator > 0 || denominator.isNaN ? 1 / denominator : 0
      mapElements(
        state.size, UnsafePointer(state.sums + row * state.size),
        to: group.result.address(item, head, tokens.lowerBound + row)
      ) { $0 * inverse }
      if let logSumExp = group.logSumExp {
        let index = (item * group.queries.heads + head) * group.queries.tokens + tokens.lowerBound + row
        logSumExp[index] = denominator == 0 ? -.infinity : state.maxima[row] + logf(denominator)
      }
    }
  }
}

/// The softmax of a tile of queries over the keys seen so far.
struct SoftmaxState {
  let rows: Int
  let size: Int
  /// Values weighted with `exp(score - maximum)`, `[rows, size]`.
  let sums: UnsafeMutablePointer<Float>
  let maxima: UnsafeMutablePointer<Float>
  /// Sums of the weights.
  let denominators: UnsafeMutablePointer<Float>

  init(rows: Int, size: Int, memory: UnsafeMutablePointer<Float>) {
    self.rows = rows
    self.size = size
    sums = memory
    maxima = memory + rows * size
    denominators = maxima + rows
    memory.update(repeating: 0, count: rows * (size + 2))
    maxima.update(repeating: -.infinity, count: rows)
  }

  /// Turns a row's scores into weights, zero for keys that it does not see, and brings the sums to the new maximum.
  func weigh(_ scores: UnsafeMutablePointer<Float>, count: Int, seen: Int, row: Int) {
    if seen < count { (scores + seen).update(repeating: 0, count: count - seen) }
    if seen == 0 { return }
    let old = maxima[row]
    let maximum = max(old, SoftmaxState.largest(seen, UnsafePointer(scores)))
    if maximum > old {
      maxima[row] = maximum
      if denominators[row] > 0 {
        let correction = expf(old - maximum)
        denominators[row] *= correction
        let values = sums + row * size
        mapElements(size, of: values) { $0 * correction }
      }
    }
    mapElements(seen, of: scores) { ($0 - maximum).exponential }
    denominators[row] += sumVectors(seen, UnsafePointer(scores)) { $0 }
  }

  private static func largest(_ count: Int, _ x: UnsafePointer<Float>) -> Float {
    var (a, b) = (Vector(repeating: -.infinity), Vector(repeating: -.infinity))
    var index = 0
    while index + 16 <= count {
      a = a.larger(of: Vector(x + index))
      b = b.larger(of: Vector(x + index + 8))
      index += 16
    }
    while index < count {
      let rest = min(8, count - index)
      a = a.larger(of: rest == 8 ? Vector(x + index) : Vector(x + index, count: rest, filling: -.infinity))
      index += rest
    }
    return a.larger(of: b).largest
  }
}
