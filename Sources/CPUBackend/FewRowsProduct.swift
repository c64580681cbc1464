import TensorOps

/// A product with so few rows that the time is that of reading the weight: dot products straight from storage, the
/// weight's rows shared out to all threads.
struct FewRowsProduct {
  let inputs: [Rows]
  let weight: WeightMatrix
  let bias: Scratch?
  let activation: Activation
  let result: UnsafeMutablePointer<Float>

  func run(on pool: WorkerPool) {
    let grain = max(1, (1 << 16) / max(weight.columns, 1))
    pool.parallelRanges(count: weight.rows, grain: grain) { outputs in
      switch weight.type {
      case .float32: compute(StoredFloat32.self, outputs)
      case .float64: compute(StoredFloat64.self, outputs)
      case .float16: compute(StoredFloat16.self, outputs)
      case .bfloat16: compute(StoredBFloat16.self, outputs)
      case .float8E4M3: compute(StoredFloat8E4M3.self, outputs)
      case .float8E5M2: compute(StoredFloat8E5M2.self, outputs)
      case .int8: compute(StoredInt8.self, outputs)
      }
    }
  }

  private func compute<Number: StoredNumber>(_: Number.Type, _ outputs: Range<Int>) {
    let rows = inputs[0].count
    for output in outputs {
      // Two rows at a time share the reading and widening of the weight.
      for row in stride(from: 0, to: rows, by: 2) {
        var sums: (Float, Float) = (0, 0)
        var start = 0
        for input in inputs {
          let first = UnsafePointer(input.row(row))
          let second = row + 1 < rows ? UnsafePointer(input.row(row + 1)) : first
          let part = FewRowsProduct.dot(Number.self, input.width, weight.address(output, start), first, second)
          sums = (sums.0 + part.0, sums.1 + part.1)
          start += input.width
        }
        let factor = weight.factor(ofRow: output)
        let offset = bias?.floats[output] ?? 0
        result[row * weight.rows + output] = sums.0 * factor + offset
        if row + 1 < rows { result[(row + 1) * weight.rows + output] = sums.1 * factor + offset }
      }
    }
    if activation == .none { return }
    for row in 0..<rows {
      let values = result + row * weight.rows + outputs.lowerBound
      activation.apply(outputs.count, of: values, adding: nil)
    }
  }

  /// Scalar products of stored numbers with two rows.
  @inline(__always)
  private static func dot<Number: StoredNumber>(
    _: Number.Type, _ count: Int, _ stored: UnsafeRawPointer, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>
  ) -> (Float, Float) {
    var (x0, x1, y0, y1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var index = 0
    while index + 16 <= count {
      let first = Number.vector(at: stored + index * Number.byteCount)
      let second = Number.vector(at: stored + (index + 8) * Number.byteCount)
      x0 = x0.addingProduct(first, Vector(x + index))
      x1 = x1.addingProduct(second, Vector(x + index + 8))
      y0 = y0.addingProduct(first, Vector(y + index))
      y1 = y1.addingProduct(second, Vector(y + index + 8))
      index += 16
    }
    var sums = ((x0 + x1).total, (y0 + y1).total)
    while index < count {
      let number = Number.scalar(at: stored + index * Number.byteCount)
      sums.0 += number * x[index]
      sums.1 += number * y[index]
      index += 1
    }
    return sums
  }
}
