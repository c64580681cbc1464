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
  /// How many keys, from the first, the queries may see.
  let validKeys: Int

  /// How many of them a query sees: every mask hides the end of the sequence.
  private func visibleKeys(token: Int) -> Int {
    guard let causalBlock = group.causalBlock else { return validKeys }
    return min(validKeys, ((group.firstPosition + token) / causalBlock + 1) * causalBlock)
  }

  /// With products in registers.
  func run(_ packed: PackedHead, _ extents: AttentionExtents, _ memory: UnsafeMutablePointer<Float>) {
    let products = RegisterProducts(self, packed, memory: memory, scoreStride: extents.keyTile)
    run(products, packed.keyValues, extents, memory + products.rows * extents.size)
  }

  /// With oneDNN's products.
  func run<Number: ProductNumber>(
    _ dense: DenseHead<Number>, _ cache: ProductCache, _ extents: AttentionExtents,
    _ memory: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    let products = LibraryProducts(self, dense, cache, extents, memory: memory)
    try run(
      products, dense.keyValues, extents, memory + LibraryProducts<Number>.count(rows: tokens.count, extents))
  }

  private func run<Products: AttentionProducts>(
    _ products: Products, _ keyValues: [(keys: HeadRows, values: HeadRows)], _ extents: AttentionExtents,
    _ memory: UnsafeMutablePointer<Float>
  ) throws(Products.Failure) {
    let state = SoftmaxState(rows: products.rows, size: products.sumStride, memory: memory)
    let scores = memory + products.rows * (products.sumStride + 2)
    var start = 0
    for (part, (keys, _)) in keyValues.enumerated() {
      for first in stride(from: 0, to: keys.tokens, by: extents.keyTile) {
        let tile = first..<min(first + extents.keyTile, keys.tokens)
        let position = start + first
        let columns = min(tile.count, visibleKeys(token: tokens.upperBound - 1) - position)
        if columns <= 0 { continue }
        let scoreStride = products.scoreStride(columns: columns)
        try products.score(part, tile, columns: columns, to: scores)
        for row in 0..<tokens.count {
          let seen = visibleKeys(token: tokens.lowerBound + row) - position
          state.weigh(
            scores + row * scoreStride, count: columns, seen: min(max(seen, 0), columns), row: row)
        }
        try products.add(part, tile, columns: columns, weights: UnsafePointer(scores), to: state.sums)
      }
      start += keys.tokens
    }
    finish(state)
  }

  private func finish(_ state: SoftmaxState) {
    let size = group.queries.size
    for row in 0..<tokens.count {
      let denominator = state.denominators[row]
      let inverse = denominator > 0 || denominator.isNaN ? 1 / denominator : 0
      mapElements(
        size, UnsafePointer(state.sums + row * state.size),
        to: group.result.address(item, head, tokens.lowerBound + row)
      ) { $0 * inverse }
      if let logSumExp = group.logSumExp {
        let index = (item * group.queries.heads + head) * group.queries.tokens + tokens.lowerBound + row
        logSumExp[index] =
          denominator == 0 ? -.infinity : state.maxima[row] / binaryLogarithmOfE + logf(denominator)
      }
    }
  }
}

/// The softmax of a tile of queries over the keys seen so far. Scores are logarithms to base two.
struct SoftmaxState {
  let rows: Int
  /// The distance of rows of sums.
  let size: Int
  /// Values weighted with `2^(score - maximum)`, `[rows, size]`.
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
        let correction = exp2f(old - maximum)
        denominators[row] *= correction
        let values = sums + row * size
        mapElements(size, of: values) { $0 * correction }
      }
    }
    mapElements(seen, of: scores) { ($0 - maximum).powerOfTwo }
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
