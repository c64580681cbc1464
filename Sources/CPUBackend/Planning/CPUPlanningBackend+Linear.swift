public import TensorCore
public import TensorOps

extension CPUPlanningBackend {
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor {
    try linear(inputs, weight: weight, bias: bias, activation: activation, stream: nil)
  }

  public var addsWhileMultiplying: Bool { backend.addsWhileMultiplying }

  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, addedTo stream: ResidualStream
  ) throws(BackendError) -> Tensor {
    try linear(inputs, weight: weight, bias: bias, activation: .none, stream: stream)
  }

  private func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation, stream: ResidualStream?
  ) throws(BackendError) -> Tensor {
    let parts = inputs.map { equallySpacedRows($0) }
    let matrix = try WeightMatrix(weight, "linear")
    let biases = bias.map { scratch($0.shape.count) }
    let added = stream.map { (Epilogue.Stream.tokens($0.x) { copied($0) }, $0.gate.map { self.rows($0) }) }
    let result = tensor(Shape(inputs[0].shape.dimensions.dropLast() + [matrix.rows]))
    let rows = parts[0].count
    note(
      .linear,
      [rows, matrix.columns, matrix.rows, inputs.count, Activation.allCases.firstIndex(of: activation) ?? 0]
        + [bias == nil ? 0 : 1, stream.map { $0.gate == nil ? 1 : 2 } ?? 0], [weight, bias],
      operations: 2 * Double(rows) * Double(matrix.columns) * Double(matrix.rows),
      reads: inputs.reduce(stream?.x.byteCount ?? 0) { $0 + $1.byteCount }, writes: result.byteCount)
    if result.count == 0 { return result }
    if let extents = try backend.narrowExtents(matrix, rows: rows) {
      let rounded = scratch(extents.inputCount)
      tasks(extents.tiles, extents.taskCount)
      return withExtendedLifetime((parts, biases, added, rounded)) { result }
    }
    if rows <= CPUBackend.fewRows {
      let grain = FewRowsProduct.grain(inputs: matrix.columns)
      tasks(pool.rangeCount(count: matrix.rows, grain: grain), FewRowsProduct.piece)
    } else if CPUBackend.usesRegisters(rows: rows, width: matrix.columns) {
      let panels = scratch(RegisterProduct.panelCount(rows: rows, width: matrix.columns))
      let outputs = RegisterProduct.outputs(matrix.rows, threads: pool.threads)
      tasks(
        (matrix.rows + outputs - 1) / outputs,
        RegisterProduct.taskCount(rows: rows, outputs: outputs, width: matrix.columns))
      withExtendedLifetime(panels) {}
    } else if matrix.float32 == nil {
      let tile = TiledProduct.tile(rows: rows, outputs: matrix.rows, threads: pool.threads)
      let columns = min(tile.columns, matrix.rows)
      let count = ((rows + tile.rows - 1) / tile.rows) * ((matrix.rows + tile.columns - 1) / tile.columns)
      tasks(
        count, TiledProduct.panelCount(rows: rows, columns: columns, depth: parts.map(\.width).max() ?? 0))
    }
    return withExtendedLifetime((parts, biases, added)) { result }
  }

  private func equallySpacedRows(_ x: Tensor) -> Rows {
    let rows = rows(x)
    if let stride = rows.uniformStride, stride >= rows.width || rows.count <= 1 { return rows }
    return Rows(copied(x))
  }

  public func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    let width = table.shape[1]
    let result = tensor(Shape(ids.shape.dimensions + [width]))
    // A row brings the pages round it: the system maps up to 64 KiB at a touch.
    let rowBytes = table.tensor.byteCount / max(table.shape[0], 1)
    memory.use(table, byteCount: ids.count * (rowBytes + (64 << 10)))
    note(.embedding, [ids.count, width], reads: ids.count * rowBytes, writes: result.byteCount)
    return result
  }
}
