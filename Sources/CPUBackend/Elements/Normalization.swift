public import TensorCore
public import TensorOps

extension CPUBackend {
  /// Layer normalization and modulation in one pass over each row.
  public func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 3, "layerNorm: expected [B, L, C], found \(x)")
    let (tokens, width) = (x.shape[1], x.shape[2])
    for modulation in [scale, shift] {
      precondition(
        modulation?.shape ?? [x.shape[0], width] == [x.shape[0], width],
        "layerNorm: \(x) with a modulation \(modulation?.shape ?? []), expected [\(x.shape[0]), \(width)]")
    }
    let affine = try AffineRows(
      weight: weight.map { (weight) throws(BackendError) in try workspace.widened(weight, count: width, "layerNorm") },
      bias: bias.map { (bias) throws(BackendError) in try workspace.widened(bias, count: width, "layerNorm") },
      scale: scale.map { rows($0, "layerNorm") }, shift: shift.map { rows($0, "layerNorm") })
    let input = rows(x, "layerNorm")
    let result = workspace.tensor(x.shape)
    let values = result.floats
    workspace.note(
      .layerNorm, [input.count, width], [weight, bias], reads: x.byteCount, writes: result.byteCount)
    workspace.parallelRanges(count: input.count, grain: CPUBackend.rowGrain(width)) { range in
      for row in range {
        CPUBackend.normalize(UnsafePointer(input.row(row)), to: values + row * width, width, epsilon)
        affine.apply(item: row / tokens, width, to: values + row * width)
      }
    }
    return result
  }

  /// `(x - mean) / √(variance + ε)` of one row. Differences from the first element keep the digits of rows whose mean is
  /// far from zero.
  private static func normalize(
    _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ width: Int, _ epsilon: Float
  ) {
    let origin = x[0]
    mapElements(width, x, to: y) { $0 - origin }
    let mean = sumVectors(width, UnsafePointer(y)) { $0 } / Float(width)
    mapElements(width, of: y) { $0 - mean }
    let variance = sumVectors(width, UnsafePointer(y)) { $0 * $0 } / Float(width)
    let factor = 1 / (variance + epsilon).squareRoot()
    mapElements(width, of: y) { $0 * factor }
  }

  /// Root-mean-square normalization of each row.
  public func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    precondition(x.shape.rank > 0, "rmsNorm: expected […, C], found \(x)")
    let input = rows(x, "rmsNorm")
    let width = input.width
    let weights = try workspace.widened(weight, count: width, "rmsNorm")
    let result = workspace.tensor(x.shape)
    let values = result.floats
    workspace.note(.rmsNorm, [input.count, width], [weight], reads: x.byteCount, writes: result.byteCount)
    workspace.parallelRanges(count: input.count, grain: CPUBackend.rowGrain(width)) { range in
      for row in range {
        let x = UnsafePointer(input.row(row))
        let factor = CPUBackend.inverseRootMeanSquare(x, width, epsilon)
        mapElements(width, x, UnsafePointer(weights.floats), to: values + row * width) { $0 * factor * $1 }
      }
    }
    return result
  }

  /// `1 / √(mean(x²) + ε)`
  static func inverseRootMeanSquare(_ x: UnsafePointer<Float>, _ count: Int, _ epsilon: Float) -> Float {
    1 / (sumVectors(count, x) { $0 * $0 } / Float(count) + epsilon).squareRoot()
  }
}

/// What follows a normalization: parameters for all rows, modulation for the rows of a batch item.
private struct AffineRows {
  let weight: Scratch?
  let bias: Scratch?
  let scale: Rows?
  let shift: Rows?

  func apply(item: Int, _ width: Int, to row: UnsafeMutablePointer<Float>) {
    if let weight { mapElements(width, of: row, with: UnsafePointer(weight.floats)) { $0 * $1 } }
    if let bias { mapElements(width, of: row, with: UnsafePointer(bias.floats)) { $0 + $1 } }
    let (scale, shift) = (self.scale?.row(item), self.shift?.row(item))
    if let scale { mapElements(width, of: row, with: UnsafePointer(scale)) { $0.addingProduct($0, $1) } }
    if let shift { mapElements(width, of: row, with: UnsafePointer(shift)) { $0 + $1 } }
  }
}
