import TensorCore

/// A product with some dozens or hundreds of rows. Here the weight is the left-hand matrix, whose elements are spread over vectors: it is
/// widened as it is, into a cache, and what is brought into panels once for all are the few rows of the input.
struct RegisterProduct {
  let inputs: [Rows]
  let rows: Int
  let weight: WeightMatrix
  let epilogue: Epilogue
  let result: UnsafeMutablePointer<Float>

  /// Up to how many rows this is the faster way (docs/speed.md).
  static let mostRows = 512

  /// Columns of the weight that are widened at a time: with a panel of the input they fit the innermost cache.
  private static let depth = 256

  /// Floats of the input's panels.
  static func panelCount(rows: Int, width: Int) -> Int { RegisterTile.paddedColumns(rows) * width }

  /// Outputs of a task: what is widened of them fits a core's second cache; no more than leave work for every thread.
  static func outputs(_ count: Int, threads: Int) -> Int {
    min(252, RegisterTile.paddedRows(max(1, count / (4 * threads))))
  }

  /// Floats of working memory of a task.
  static func taskCount(rows: Int, outputs: Int, width: Int) -> Int {
    outputs * min(depth, width) + outputs * RegisterTile.paddedColumns(rows)
  }

  func run(in workspace: Workspace) {
    let packed = workspace.scratch(RegisterProduct.panelCount(rows: rows, width: weight.columns))
    defer { withExtendedLifetime(packed) {} }
    let panels = packed.floats
    let width = RegisterTile.columns
    workspace.parallelRanges(count: (rows + width - 1) / width, grain: 1) { range in
      for panel in range { pack(panel, to: panels + panel * weight.columns * width) }
    }
    let outputs = RegisterProduct.outputs(weight.rows, threads: workspace.threads)
    workspace.parallel(
      count: (weight.rows + outputs - 1) / outputs,
      scratch: RegisterProduct.taskCount(rows: rows, outputs: outputs, width: weight.columns)
    ) { index, memory in
      compute(index * outputs..<min((index + 1) * outputs, weight.rows), panels, memory)
    }
  }

  /// Sixteen rows of the input as `[inputs, 16]`, with zeros after the last row.
  private func pack(_ panel: Int, to target: UnsafeMutablePointer<Float>) {
    let width = RegisterTile.columns
    let members = panel * width..<min((panel + 1) * width, rows)
    if members.count < width { target.update(repeating: 0, count: weight.columns * width) }
    var start = target
    for input in inputs {
      for (column, row) in members.enumerated() {
        let source = UnsafePointer(input.row(row))
        for index in 0..<input.width { start[index * width + column] = source[index] }
      }
      start += input.width * width
    }
  }

  /// Some outputs of all rows.
  private func compute(_ outputs: Range<Int>, _ panels: UnsafePointer<Float>, _ memory: UnsafeMutablePointer<Float>) {
    let padded = RegisterTile.paddedRows(outputs.count)
    let panelRows = RegisterTile.columns
    let panelCount = (rows + panelRows - 1) / panelRows
    let sums = memory + padded * min(RegisterProduct.depth, weight.columns)
    for start in stride(from: 0, to: weight.columns, by: RegisterProduct.depth) {
      let inner = min(RegisterProduct.depth, weight.columns - start)
      weight.widen(rows: outputs, columns: start..<start + inner, to: memory, stride: inner)
      (memory + outputs.count * inner).update(repeating: 0, count: (padded - outputs.count) * inner)
      for panel in 0..<panelCount {
        RegisterTile.multiply(
          memory, rowStride: inner, rows: padded, panels + (panel * weight.columns + start) * panelRows, inner: inner,
          adds: start > 0, into: sums + panel * padded * panelRows, resultStride: panelRows)
      }
    }
    for row in 0..<rows {
      let source = sums + row / panelRows * padded * panelRows + row % panelRows
      let target = result + row * weight.rows + outputs.lowerBound
      for index in 0..<outputs.count { target[index] = source[index * panelRows] }
      epilogue.finish(row..<row + 1, outputs, of: result, stride: weight.rows)
    }
  }
}
