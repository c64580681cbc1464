import TensorCore
import TensorOps

/// How a product whose activations are rounded is divided, and what memory it needs.
struct NarrowExtents {
  let type: ProductType
  let rows: Int
  let width: Int
  let outputs: Int
  /// Of the result.
  let tile: (rows: Int, columns: Int)
  let bands: Int
  let panels: Int
  /// What oneDNN needs beside for a whole tile; smaller ones hardly ever need more.
  let libraryBytes: Int

  /// The type that a weight is multiplied in as it is stored, at a precision; nil where its elements have to become float32 first.
  static func type(of weight: WeightMatrix, _ precision: ProductPrecision) -> ProductType? {
    switch precision {
    case .unrounded: nil
    case .bfloat16:
      weight.type == .bfloat16 && !weight.isScaled && Int(bitPattern: weight.weight.tensor.hostPointer) % 2 == 0
        ? .bfloat16 : nil
    case .int8: weight.type == .int8 && weight.isScaled && !weight.roundsToBFloat16 ? .int8 : nil
    }
  }

  init(
    _ type: ProductType, rows: Int, width: Int, outputs: Int, threads: Int, _ cache: ProductCache
  ) throws(BackendError) {
    (self.type, self.rows, self.width, self.outputs) = (type, rows, width, outputs)
    let usual = TiledProduct.tile(rows: rows, outputs: outputs, threads: threads)
    let height = type == .int8 ? min(usual.rows, NarrowExtents.mostRowsOfSums) : usual.rows
    bands = (rows + height - 1) / height
    tile = ((rows + bands - 1) / bands, usual.columns)
    panels = (outputs + tile.columns - 1) / tile.columns
    let whole = NarrowExtents.key(type, rows: tile.rows, columns: min(tile.columns, outputs), self.width, outputs)
    libraryBytes = try cache.product(whole).scratchBytes
  }

  /// Sums of a tile of the task's own stay in a core's second cache; oneDNN is as fast with more rows (docs/speed.md).
  private static let mostRowsOfSums = 256

  var tiles: Int { bands * panels }

  /// Rows and columns of a tile.
  func ranges(_ index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    let (panel, band) = (index / bands, index % bands)
    return (
      band * tile.rows..<min((band + 1) * tile.rows, rows),
      panel * tile.columns..<min((panel + 1) * tile.columns, outputs)
    )
  }

  func key(rows: Int, columns: Int) -> ProductKey {
    NarrowExtents.key(type, rows: rows, columns: columns, width, outputs)
  }

  /// Sums of integers lie in a dense tile of the task's before they become the result.
  private static func key(_ type: ProductType, rows: Int, columns: Int, _ width: Int, _ outputs: Int) -> ProductKey {
    ProductKey(
      rows: rows, columns: columns, inner: width, stride: type == .int8 ? columns : outputs, type: type,
      isTransposed: true)
  }

  // MARK: Memory, in floats

  /// Of the rounded rows of all inputs.
  private var roundedCount: Int { (rows * width * (type == .int8 ? 1 : 2) + 3) / 4 }

  /// Where factors of rows begin.
  var factorOffset: Int { (roundedCount + 15) / 16 * 16 }

  /// Of all inputs.
  var inputCount: Int { type == .int8 ? factorOffset + rows : roundedCount }

  /// Of a tile's sums, where they are not made in the result itself.
  var sumCount: Int { type == .int8 ? (tile.rows * min(tile.columns, outputs) + 15) / 16 * 16 : 0 }

  /// Of a task.
  var taskCount: Int { sumCount + (libraryBytes + 3) / 4 }
}
