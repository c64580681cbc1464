import TensorCore
import TensorOps

/// A number that oneDNN multiplies.
protocol ProductNumber {
  static var productType: ProductType { get }
  init(rounding value: Float)
}

extension Float: ProductNumber {
  static var productType: ProductType { .float32 }

  @inline(__always)
  init(rounding value: Float) { self = value }
}

extension BFloat16: ProductNumber {
  static var productType: ProductType { .bfloat16 }

  @inline(__always)
  init(rounding value: Float) { self.init(value) }
}

/// `y[i] = x[i] · factor`, rounded to the type of the result.
@inline(__always)
func roundElements<Number: ProductNumber>(
  _ count: Int, _ x: UnsafePointer<Float>, times factor: Float = 1, to y: UnsafeMutablePointer<Number>
) {
  for index in 0..<count { y[index] = Number(rounding: x[index] * factor) }
}

/// Keys and values of one head as dense matrices `[tokens, D]`, made once for all queries, tensor by tensor of the list.
struct DenseHead<Number: ProductNumber> {
  let keyValues: [(keys: HeadRows, values: HeadRows)]
  let memory: UnsafeMutablePointer<Number>

  /// How many floats the heads of a list need.
  static func count(tokens: [Int], size: Int) -> Int {
    (tokens.reduce(0) { $0 + 2 * $1 * size } * MemoryLayout<Number>.size + 3) / 4
  }

  func keys(_ part: Int, from token: Int) -> UnsafeMutablePointer<Number> {
    keyValues[..<part].reduce(memory) { $0 + 2 * $1.keys.tokens * $1.keys.size } + token * keyValues[part].keys.size
  }

  func values(_ part: Int, from token: Int) -> UnsafeMutablePointer<Number> {
    let keys = keyValues[part].keys
    return self.keys(part, from: keys.tokens) + token * keys.size
  }

  /// Copies a chunk of one tensor of keys and its values.
  func pack(_ part: Int, _ tokens: Range<Int>, item: Int, head: Int) {
    let (keys, values) = keyValues[part]
    let (keyRows, valueRows) = (self.keys(part, from: 0), self.values(part, from: 0))
    for token in tokens {
      roundElements(keys.size, keys.address(item, head, token), to: keyRows + token * keys.size)
      roundElements(values.size, values.address(item, head, token), to: valueRows + token * values.size)
    }
  }
}

/// oneDNN's products of matrices of one type; sums, maxima and denominators are float32.
struct LibraryProducts<Number: ProductNumber>: AttentionProducts {
  typealias Failure = BackendError

  let head: DenseHead<Number>
  let cache: ProductCache
  let rows: Int
  let size: Int
  /// `[rows, size]`, scaled, and weights `[rows, columns]` where they have to be rounded.
  private let queries: UnsafeMutablePointer<Number>
  private let rounded: UnsafeMutablePointer<Number>
  /// oneDNN's working memory.
  private let scratch: UnsafeMutableRawPointer
  private let scratchBytes: Int
  var sumStride: Int { size }

  func scoreStride(columns: Int) -> Int { columns }

  /// Floats for queries, weights and oneDNN; each part begins at a multiple of 64 bytes.
  static func count(rows: Int, _ extents: AttentionExtents) -> Int {
    (parts(rows: rows, extents).reduce(0, +) + extents.libraryBytes) / 4
  }

  /// Whether weights are not the numbers that are multiplied.
  private static var needsRounding: Bool { Number.productType != .float32 }

  /// Bytes of queries and of rounded weights.
  private static func parts(rows: Int, _ extents: AttentionExtents) -> [Int] {
    [rows * extents.size, needsRounding ? rows * extents.keyTile : 0].map {
      ($0 * MemoryLayout<Number>.size + 63) / 64 * 64
    }
  }

  /// The bytes that oneDNN needs for the products of a whole tile; smaller ones hardly ever need more.
  static func libraryBytes(
    rows: Int, size: Int, keyTile: Int, _ cache: ProductCache
  ) throws(BackendError) -> Int {
    let products = [
      try cache.product(scoreKey(rows: rows, columns: keyTile, size: size)),
      try cache.product(sumKey(rows: rows, columns: keyTile, size: size)),
    ]
    return products.reduce(0) { max($0, ($1.scratchBytes + 63) / 64 * 64) }
  }

  private static func scoreKey(rows: Int, columns: Int, size: Int) -> ProductKey {
    ProductKey(
      rows: rows, columns: columns, inner: size, stride: columns, type: Number.productType, isTransposed: true)
  }

  private static func sumKey(rows: Int, columns: Int, size: Int) -> ProductKey {
    ProductKey(
      rows: rows, columns: size, inner: columns, stride: size, type: Number.productType, accumulates: true)
  }

  /// Copies a task's queries, scaled.
  init(
    _ task: AttentionTask, _ head: DenseHead<Number>, _ cache: ProductCache, _ extents: AttentionExtents,
    memory: UnsafeMutablePointer<Float>
  ) {
    (self.head, self.cache) = (head, cache)
    let group = task.group
    (rows, size) = (task.tokens.count, group.queries.size)
    let bytes = LibraryProducts.parts(rows: rows, extents)
    let memory = UnsafeMutableRawPointer(memory)
    queries = memory.assumingMemoryBound(to: Number.self)
    rounded = (memory + bytes[0]).assumingMemoryBound(to: Number.self)
    scratch = memory + bytes[0] + bytes[1]
    scratchBytes = extents.libraryBytes
    for (row, token) in task.tokens.enumerated() {
      roundElements(
        size, group.queries.address(task.item, task.head, token), times: group.scale * binaryLogarithmOfE,
        to: queries + row * size)
    }
  }

  private func run(
    _ key: ProductKey, _ left: UnsafeRawPointer, _ right: UnsafeRawPointer, to result: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    let product = try cache.product(key)
    try product.run(left, right, to: result, scratch: product.scratchBytes <= scratchBytes ? scratch : nil)
  }

  func score(
    _ part: Int, _ tile: Range<Int>, columns: Int, to scores: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    try run(
      LibraryProducts.scoreKey(rows: rows, columns: columns, size: size), queries,
      head.keys(part, from: tile.lowerBound), to: scores)
  }

  func add(
    _ part: Int, _ tile: Range<Int>, columns: Int, weights: UnsafePointer<Float>, to sums: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    var left = UnsafeRawPointer(weights)
    if Self.needsRounding {
      roundElements(rows * columns, weights, to: rounded)
      left = UnsafeRawPointer(rounded)
    }
    try run(
      LibraryProducts.sumKey(rows: rows, columns: columns, size: size), left,
      head.values(part, from: tile.lowerBound), to: sums)
  }
}
