import TensorCore
import TensorOps

/// A linear layer whose activations are rounded to the type of its weight's elements, on the processor's own instructions for that type.
struct NarrowProduct {
  let inputs: [Rows]
  let extents: NarrowExtents
  let weight: WeightMatrix
  let epilogue: Epilogue
  let result: UnsafeMutablePointer<Float>

  func run(in workspace: Workspace, _ cache: ProductCache) throws(BackendError) {
    let memory = workspace.scratch(extents.inputCount)
    defer { withExtendedLifetime(memory) {} }
    let factors = memory.floats + extents.factorOffset
    let rowBytes = extents.width * (extents.type == .int8 ? 1 : 2)
    workspace.parallelRanges(count: extents.rows, grain: CPUBackend.rowGrain(extents.width)) { range in
      for row in range {
        let target = memory.bytes + row * rowBytes
        if extents.type == .int8 {
          factors[row] = quantize(row, to: target.assumingMemoryBound(to: Int8.self))
        } else {
          round(row, to: target.assumingMemoryBound(to: BFloat16.self))
        }
      }
    }
    let right = weight.weight.tensor.hostPointer
    try workspace.parallel(count: extents.tiles, scratch: extents.taskCount) { (index, task) throws(BackendError) in
      let (rows, columns) = extents.ranges(index)
      let product = try cache.product(extents.key(rows: rows.count, columns: columns.count))
      let tile = result + rows.lowerBound * weight.rows + columns.lowerBound
      let sums = extents.type == .int8 ? task : tile
      try product.run(
        memory.bytes + rows.lowerBound * rowBytes, right + columns.lowerBound * rowBytes, to: sums,
        scratch: product.scratchBytes <= extents.libraryBytes ? UnsafeMutableRawPointer(task + extents.sumCount) : nil)
      if extents.type == .int8 {
        finish(sums, rows, columns, factors)
      } else {
        epilogue.finish(rows, columns, of: result, stride: weight.rows)
      }
    }
  }

  private func round(_ row: Int, to target: UnsafeMutablePointer<BFloat16>) {
    var target = target
    for input in inputs {
      roundElements(input.width, UnsafePointer(input.row(row)), to: target)
      target += input.width
    }
  }

  /// Divides a row by a factor that makes its largest number 127, and rounds.
  /// - Returns: the factor. That of a row with NaN or infinity is one of these, so that its results are.
  private func quantize(_ row: Int, to target: UnsafeMutablePointer<Int8>) -> Float {
    let largest = inputs.reduce(0) { max($0, largestMagnitude($1.width, UnsafePointer($1.row(row)))) }
    let magnitude = Float(bitPattern: largest)
    // The reciprocal of a smaller one is no number, and what it is multiplied with as good as zero.
    let isNothing = magnitude < 1e-36
    let scale = isNothing ? 0 : 127 / magnitude
    var target = target
    for input in inputs {
      quantizeElements(input.width, UnsafePointer(input.row(row)), times: scale, to: target)
      target += input.width
    }
    return isNothing ? 0 : magnitude / 127
  }

  /// Sums times the factors of their row and column, and what follows.
  private func finish(
    _ sums: UnsafeMutablePointer<Float>, _ rows: Range<Int>, _ columns: Range<Int>,
    _ factors: UnsafePointer<Float>
  ) {
    let integers = UnsafeRawPointer(sums).assumingMemoryBound(to: Int32.self)
    weight.factors.withUnsafeBufferPointer { all in
      guard let columnFactors = all.baseAddress.map({ $0 + columns.lowerBound }) else { return }
      for row in rows {
        let sums = integers + (row - rows.lowerBound) * columns.count
        let (target, factor) = (result + row * weight.rows + columns.lowerBound, factors[row])
        for column in 0..<columns.count { target[column] = Float(sums[column]) * (factor * columnFactors[column]) }
        epilogue.finish(row..<row + 1, columns, of: result, stride: weight.rows)
      }
    }
  }
}

/// The bits of the largest magnitude: as integers, magnitudes have the order of their numbers, infinity and NaN above.
@inline(__always)
private func largestMagnitude(_ count: Int, _ x: UnsafePointer<Float>) -> UInt32 {
  var largest: UInt32 = 0
  for index in 0..<count {
    let bits = x[index].bitPattern & 0x7FFF_FFFF
    largest = bits > largest ? bits : largest
  }
  return largest
}

/// `y[i]` is the integer that is nearest to `x[i] · factor`, which is between -127 and 127. NaN becomes any.
@inline(__always)
private func quantizeElements(
  _ count: Int, _ x: UnsafePointer<Float>, times factor: Float, to y: UnsafeMutablePointer<Int8>
) {
  // Adding 1.5 · 2²³ leaves the nearest integer in the low bits.
  for index in 0..<count { y[index] = Int8(truncatingIfNeeded: (x[index] * factor + 12_582_912).bitPattern) }
}
