/// A product with so few rows that the time is that of reading the weight. Its rows are shared out to all threads; a
/// piece of one is widened into the innermost cache and multiplied with all rows of the input there.
struct FewRowsProduct {
  let inputs: [Rows]
  let rows: Int
  let weight: WeightMatrix
  let epilogue: Epilogue
  let result: UnsafeMutablePointer<Float>

  /// Elements of a piece.
  static let piece = 2048

  /// Outputs that are worth waking another thread for.
  static func grain(inputs: Int) -> Int { max(1, (1 << 16) / max(inputs, 1)) }

  func run(in workspace: Workspace) {
    workspace.parallelRanges(
      count: weight.rows, grain: FewRowsProduct.grain(inputs: weight.columns), scratch: FewRowsProduct.piece
    ) { outputs, piece in
      for output in outputs { compute(output, piece) }
      epilogue.finish(0..<rows, outputs, of: result, stride: weight.rows)
    }
  }

  /// The products of one row of the weight.
  private func compute(_ output: Int, _ piece: UnsafeMutablePointer<Float>) {
    for row in 0..<rows { result[row * weight.rows + output] = 0 }
    var start = 0
    for input in inputs {
      for offset in stride(from: 0, to: input.width, by: FewRowsProduct.piece) {
        let count = min(FewRowsProduct.piece, input.width - offset)
        let column = start + offset
        var numbers = UnsafePointer(piece)
        if let float32 = weight.float32 {
          numbers = float32 + output * weight.columns + column
        } else {
          weight.widen(rows: output..<output + 1, columns: column..<column + count, to: piece, stride: count)
        }
        for row in 0..<rows {
          result[row * weight.rows + output] += dotProduct(count, numbers, UnsafePointer(input.row(row) + offset))
        }
      }
      start += input.width
    }
  }
}
