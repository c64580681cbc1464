import TensorCore
import TensorOps

/// The two products of attention for a tile of queries: with a tile of keys, and of the weights with their values. Scores are
/// logarithms to base two.
protocol AttentionProducts {
  /// What can go wrong; `Never` where nothing can.
  associatedtype Failure: Error

  /// Rows of memory for scores and sums, and the distance of neighbours.
  var rows: Int { get }
  var sumStride: Int { get }
  func scoreStride(columns: Int) -> Int

  /// Writes the scores of all queries with the first `columns` keys of a tile.
  func score(_ part: Int, _ tile: Range<Int>, columns: Int, to scores: UnsafeMutablePointer<Float>) throws(Failure)

  /// Adds the values of the first `columns` keys of a tile, weighted.
  func add(
    _ part: Int, _ tile: Range<Int>, columns: Int, weights: UnsafePointer<Float>, to sums: UnsafeMutablePointer<Float>
  ) throws(Failure)
}

/// `log₂ e`: powers of two cost less than powers of e.
let binaryLogarithmOfE: Float = 1.442_695_04

/// Products in registers, from packed keys and values.
struct RegisterProducts: AttentionProducts {
  typealias Failure = Never

  let head: PackedHead
  /// `[rows, size]`, scaled.
  let queries: UnsafePointer<Float>
  let rows: Int
  let size: Int
  private let scoreStride: Int
  var sumStride: Int { RegisterTile.paddedColumns(size) }

  func scoreStride(columns: Int) -> Int { scoreStride }

  /// Copies a task's queries, scaled, with zeros to whole tiles.
  init(_ task: AttentionTask, _ head: PackedHead, memory: UnsafeMutablePointer<Float>, scoreStride: Int) {
    self.head = head
    self.scoreStride = scoreStride
    let group = task.group
    size = group.queries.size
    rows = RegisterTile.paddedRows(task.tokens.count)
    let factor = group.scale * binaryLogarithmOfE
    for (row, token) in task.tokens.enumerated() {
      mapElements(size, group.queries.address(task.item, task.head, token), to: memory + row * size) { $0 * factor }
    }
    (memory + task.tokens.count * size).update(repeating: 0, count: (rows - task.tokens.count) * size)
    queries = UnsafePointer(memory)
  }

  func score(_ part: Int, _ tile: Range<Int>, columns: Int, to scores: UnsafeMutablePointer<Float>) {
    let panels = head.keys(part, from: tile.lowerBound)
    for column in stride(from: 0, to: columns, by: RegisterTile.columns) {
      RegisterTile.multiply(
        queries, rowStride: size, rows: rows, panels + column * size, inner: size, into: scores + column,
        resultStride: scoreStride)
    }
  }

  func add(
    _ part: Int, _ tile: Range<Int>, columns: Int, weights: UnsafePointer<Float>, to sums: UnsafeMutablePointer<Float>
  ) {
    let panels = head.values(part, tile: tile.lowerBound)
    for panel in 0..<sumStride / RegisterTile.columns {
      RegisterTile.multiply(
        weights, rowStride: scoreStride, rows: rows, panels.first + panel * panels.stride, inner: columns, adds: true,
        into: sums + panel * RegisterTile.columns, resultStride: sumStride)
    }
  }
}
