public import TensorCore
public import TensorOps

extension CPUBackend {
  /// Rows of a table, widened.
  public func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    precondition(ids.dtype == .int32, "embedding: \(table.name): ids are \(ids), expected int32")
    precondition(table.shape.rank == 2, "embedding: \(table.name) is \(table.tensor), expected [vocabulary, C]")
    let matrix = try WeightMatrix(table, "embedding")
    let indices = ids.integers()
    for index in indices {
      precondition(
        (0..<matrix.rows).contains(index), "embedding: \(table.name): id \(index) is outside \(table.tensor)")
    }
    let width = table.shape[1]
    let result = workspace.tensor(Shape(ids.shape.dimensions + [width]))
    let values = result.floats
    workspace.noteEmbedding(rows: indices.count, of: table, writes: result.byteCount)
    if width == 0 { return result }
    workspace.parallelRanges(count: indices.count, grain: CPUBackend.rowGrain(width)) { range in
      for row in range {
        matrix.widen(
          rows: indices[row]..<indices[row] + 1, columns: 0..<width, to: values + row * width, stride: width)
      }
    }
    return result
  }
}
