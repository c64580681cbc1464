public import TensorCore
public import TensorOps

extension CPUBackend {
  /// `activation(concat(inputs) · weightᵀ + bias)`: a dot product per output for few rows, else products of tiles.
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor {
    try linear(inputs, weight: weight, bias: bias, activation: activation, stream: nil)
  }

  /// Yes.
  public var addsWhileMultiplying: Bool { true }

  /// The same for `x + gate · (concat(inputs) · weightᵀ + bias)`: tiles of the product are added while they are in a cache.
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, addedTo stream: ResidualStream
  ) throws(BackendError) -> Tensor {
    try linear(inputs, weight: weight, bias: bias, activation: .none, stream: stream)
  }

  private func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation, stream: ResidualStream?
  ) throws(BackendError) -> Tensor {
    guard let first = inputs.first else { preconditionFailure("linear: \(weight.name): no inputs") }
    precondition(weight.shape.rank == 2, "linear: \(weight.name) is \(weight.tensor), expected [outputs, inputs]")
    for input in inputs {
      precondition(
        input.shape.rank > 0 && input.shape.dimensions.dropLast() == first.shape.dimensions.dropLast(),
        "linear: \(weight.name): inputs \(first) and \(input) differ beside the last axis")
    }
    let parts = inputs.map { equallySpacedRows($0) }
    let matrix = try WeightMatrix(weight, "linear")
    let width = parts.reduce(0) { $0 + $1.width }
    precondition(
      width == weight.shape[1], "linear: \(weight.name) is \(weight.tensor), found \(width) input channels")
    let shape = Shape(first.shape.dimensions.dropLast() + [matrix.rows])
    precondition(
      stream?.x.shape ?? shape == shape, "linear: \(weight.name): \(shape) is added to \(stream?.x.shape ?? [])")
    let biases = try bias.map { (bias) throws(BackendError) in
      try workspace.widened(bias, count: matrix.rows, "linear")
    }
    let added = stream.map { tensors(of: $0) }
    defer { withExtendedLifetime((biases, added)) {} }
    let epilogue = Epilogue(
      bias: biases.map { UnsafePointer($0.floats) }, activation: activation,
      stream: added.map { Epilogue.Stream($0.x, gates: $0.gates) })
    let result = workspace.tensor(shape)
    let rows = parts[0].count
    workspace.note(
      .linear,
      [
        rows, width, matrix.rows, inputs.count, Activation.allCases.firstIndex(of: activation) ?? 0,
        bias == nil ? 0 : 1,
        stream.map { $0.gate == nil ? 1 : 2 } ?? 0,
      ], [weight, bias], operations: 2 * Double(rows) * Double(width) * Double(matrix.rows),
      reads: inputs.reduce(stream?.x.byteCount ?? 0) { $0 + $1.byteCount }, writes: result.byteCount)
    if result.count == 0 { return result }
    if let extents = try narrowExtents(matrix, rows: rows) {
      try NarrowProduct(
        inputs: parts, extents: extents, weight: matrix, epilogue: epilogue, result: result.floats
      ).run(in: workspace, products)
    } else if rows <= CPUBackend.fewRows {
      FewRowsProduct(inputs: parts, rows: rows, weight: matrix, epilogue: epilogue, result: result.floats)
        .run(in: workspace)
    } else if CPUBackend.usesRegisters(rows: rows, width: width) {
      RegisterProduct(inputs: parts, rows: rows, weight: matrix, epilogue: epilogue, result: result.floats)
        .run(in: workspace)
    } else {
      try TiledProduct(inputs: parts, rows: rows, weight: matrix, epilogue: epilogue, result: result.floats)
        .run(in: workspace)
    }
    return result
  }

  /// A stream and its gates as rows that can be found by strides.
  private func tensors(of stream: ResidualStream) -> (x: Tensor, gates: Tensor?) {
    stream.x.requireFloat32("linear")
    return (Epilogue.Stream.tokens(stream.x) { copied($0) }, stream.gate.map { rows($0, "linear").tensor })
  }

  /// How a product is made whose activations are rounded; nil where they are not: that gains nothing where reading the weight takes
  /// the time.
  func narrowExtents(_ weight: WeightMatrix, rows: Int) throws(BackendError) -> NarrowExtents? {
    guard rows > CPUBackend.fewRows, weight.columns > 0, let type = NarrowExtents.type(of: weight, precision)
    else { return nil }
    return try NarrowExtents(
      type, rows: rows, width: weight.columns, outputs: weight.rows, threads: workspace.threads, products)
  }

  /// Whether a product is made in registers.
  static func usesRegisters(rows: Int, width: Int) -> Bool {
    rows <= RegisterProduct.mostRows && width > 0 && !OneDNN.hasWideVectors
  }

  /// Up to how many rows the time is that of reading the weight.
  static let fewRows = 4

  /// A tensor as a matrix whose rows are equally far apart.
  private func equallySpacedRows(_ x: Tensor) -> Rows {
    let rows = rows(x, "linear")
    if let stride = rows.uniformStride, stride >= rows.width || rows.count <= 1 { return rows }
    return Rows(copied(x))
  }
}

/// A product with many rows: tiles of the result, each computed on one thread from a widened panel of the weight.
struct TiledProduct {
  let inputs: [Rows]
  let rows: Int
  let weight: WeightMatrix
  let epilogue: Epilogue
  let result: UnsafeMutablePointer<Float>

  /// The extents of a tile, measured (docs/speed.md): wide tiles keep oneDNN's packing of the rows cheap; what a
  /// widened panel costs is shared by all rows of a tile.
  static func tile(rows: Int, outputs: Int, threads: Int) -> (rows: Int, columns: Int) {
    var columns = rows < 48 ? 128 : 512
    var height = min(rows, 3072)
    func count() -> Int { ((rows + height - 1) / height) * ((outputs + columns - 1) / columns) }
    // Enough tiles for every thread; narrow ones rather than low ones, which would widen the weight again.
    while columns > 128 && count() < 2 * threads { columns /= 2 }
    while height > 256 && count() < 2 * threads { height = (height + 1) / 2 }
    let bands = (rows + height - 1) / height
    return ((rows + bands - 1) / bands, columns)
  }

  func run(in workspace: Workspace) throws(BackendError) {
    let tile = TiledProduct.tile(rows: rows, outputs: weight.rows, threads: workspace.threads)
    let bands = (rows + tile.rows - 1) / tile.rows
    let panels = (weight.rows + tile.columns - 1) / tile.columns
    let scratch =
      weight.float32 == nil
      ? TiledProduct.panelCount(
        rows: rows, columns: min(tile.columns, weight.rows), depth: inputs.map(\.width).max() ?? 0) : 0
    try workspace.parallel(count: bands * panels, scratch: scratch) { (index, memory) throws(BackendError) in
      let (panel, band) = (index / bands, index % bands)
      try compute(
        band * tile.rows..<min((band + 1) * tile.rows, rows),
        panel * tile.columns..<min((panel + 1) * tile.columns, weight.rows), memory)
    }
  }

  private func compute(
    _ rows: Range<Int>, _ columns: Range<Int>, _ panel: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    let stride = weight.rows
    let tile = result + rows.lowerBound * stride + columns.lowerBound
    var start = 0
    var adds = false
    for input in inputs where input.width > 0 {
      let left = UnsafePointer(input.row(rows.lowerBound))
      let leftStride = max(input.uniformStride ?? input.width, input.width)
      if let numbers = weight.float32 {
        let right = OneDNN.Factor(
          address: numbers + columns.lowerBound * weight.columns + start, rowStride: weight.columns, isTransposed: true)
        try OneDNN.multiply(
          left, rowStride: leftStride, right, rows: rows.count, columns: columns.count, inner: input.width, adds: adds,
          into: tile, rowStride: stride, "linear")
        adds = true
      } else {
        let depth = min(input.width, TiledProduct.panelElements(rows: self.rows) / columns.count)
        for offset in Swift.stride(from: 0, to: input.width, by: depth) {
          let inner = min(depth, input.width - offset)
          weight.widen(rows: columns, columns: start + offset..<start + offset + inner, to: panel, stride: inner)
          try OneDNN.multiply(
            left + offset, rowStride: leftStride,
            OneDNN.Factor(address: UnsafePointer(panel), rowStride: inner, isTransposed: true), rows: rows.count,
            columns: columns.count, inner: inner, adds: adds, into: tile, rowStride: stride, "linear")
          adds = true
        }
      }
      start += input.width
    }
    if !adds {
      for row in 0..<rows.count { (tile + row * stride).update(repeating: 0, count: columns.count) }
    }
    epilogue.finish(rows, columns, of: result, stride: stride)
  }

  /// How many widened elements a thread holds at a time.
  static func panelElements(rows: Int) -> Int { rows < 48 ? 1 << 17 : 1 << 20 }

  /// How many of a tile with so many columns.
  static func panelCount(rows: Int, columns: Int, depth: Int) -> Int {
    columns * min(depth, panelElements(rows: rows) / columns)
  }
}
