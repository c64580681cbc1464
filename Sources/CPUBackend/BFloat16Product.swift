import TensorCore
import TensorOps

/// A linear layer whose activations are rounded to bfloat16, on the processor's own bfloat16 instructions: sums are float32.
struct BFloat16Product {
  let inputs: [Rows]
  let rows: Int
  let weight: WeightMatrix
  let bias: Scratch?
  let activation: Activation
  let result: UnsafeMutablePointer<Float>

  /// Whether a weight is multiplied this way: its elements have to be bfloat16 numbers as they are.
  static func takes(_ weight: WeightMatrix) -> Bool {
    weight.type == .bfloat16 && !weight.isScaled && Int(bitPattern: weight.weight.tensor.hostPointer) % 2 == 0
  }

  /// Working memory for the rounded rows of all inputs, in floats.
  static func roundedCount(rows: Int, width: Int) -> Int { (rows * width + 1) / 2 }

  func run(on pool: WorkerPool, _ cache: ProductCache) throws(BackendError) {
    let rounded = Scratch(count: BFloat16Product.roundedCount(rows: rows, width: weight.columns))
    defer { withExtendedLifetime(rounded) {} }
    let left = rounded.bytes.assumingMemoryBound(to: BFloat16.self)
    pool.parallelRanges(count: rows, grain: CPUBackend.rowGrain(weight.columns)) { range in
      for row in range { round(row, to: left + row * weight.columns) }
    }

    let tile = TiledProduct.tile(rows: rows, outputs: weight.rows, threads: pool.threads)
    let bands = (rows + tile.rows - 1) / tile.rows
    let panels = (weight.rows + tile.columns - 1) / tile.columns
    let right = weight.weight.tensor.hostPointer
    func product(rows: Int, columns: Int) throws(BackendError) -> ProductPrimitive {
      try cache.product(
        ProductKey(
          rows: rows, columns: columns, inner: weight.columns, stride: weight.rows, isBFloat16: true,
          isTransposed: true))
    }
    let scratchBytes = try product(rows: min(tile.rows, rows), columns: min(tile.columns, weight.rows)).scratchBytes
    try pool.parallel(count: bands * panels, scratch: (scratchBytes + 3) / 4) { (index, scratch) throws(BackendError) in
      let (panel, band) = (index / bands, index % bands)
      let rows = band * tile.rows..<min((band + 1) * tile.rows, self.rows)
      let columns = panel * tile.columns..<min((panel + 1) * tile.columns, weight.rows)
      let product = try product(rows: rows.count, columns: columns.count)
      let target = result + rows.lowerBound * weight.rows + columns.lowerBound
      try product.run(
        left + rows.lowerBound * weight.columns, right + 2 * columns.lowerBound * weight.columns, to: target,
        scratch: product.scratchBytes <= scratchBytes ? UnsafeMutableRawPointer(scratch) : nil)
      activation.apply(
        rows: rows.count, columns: columns.count, stride: weight.rows, of: target,
        adding: bias.map { UnsafePointer($0.floats + columns.lowerBound) })
    }
  }

  private func round(_ row: Int, to target: UnsafeMutablePointer<BFloat16>) {
    var target = target
    for input in inputs {
      let source = UnsafePointer(input.row(row))
      roundElements(input.width, source, to: target)
      target += input.width
    }
  }
}
