public import TensorCore

extension ReferenceBackend {
  /// One scalar product per output.
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor {
    precondition(!inputs.isEmpty, "linear: \(weight.name): no inputs")
    let leading = Array(inputs[0].shape.dimensions.dropLast())
    for input in inputs {
      precondition(
        input.shape.rank > 0 && Array(input.shape.dimensions.dropLast()) == leading,
        "linear: \(weight.name): \(input) and \(inputs[0]) differ in more than the last axis")
    }
    let width = inputs.reduce(0) { $0 + $1.shape.last }
    precondition(
      weight.shape.rank == 2 && weight.shape[1] == width,
      "linear: \(weight.name) is \(weight.tensor), expected [outputs, \(width)]")
    let outputs = weight.shape[0]
    let matrix = try weight.widened(for: "linear")
    let offsets = try bias.map { bias throws(BackendError) in try read(bias, count: outputs, "linear") }
    let x = join(inputs.map { (read($0, "linear"), $0.shape.last) }, blocks: inputs[0].shape.rows)

    var result: [Float] = []
    result.reserveCapacity(inputs[0].shape.rows * outputs)
    for row in 0..<inputs[0].shape.rows {
      for output in 0..<outputs {
        var sum = Double(offsets?[output] ?? 0)
        for channel in 0..<width {
          sum += Double(x[row * width + channel]) * Double(matrix[output * width + channel])
        }
        result.append(Float(activation.value(sum)))
      }
    }
    return Tensor(result, shape: Shape(leading + [outputs]))
  }

  /// Copies of rows.
  public func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    precondition(ids.dtype == .int32, "embedding: \(table.name): ids are \(ids), expected int32")
    precondition(table.shape.rank == 2, "embedding: \(table.name) is \(table.tensor), expected [vocabulary, C]")
    let rows = try table.widened(for: "embedding")
    let channels = table.shape[1]
    var result: [Float] = []
    result.reserveCapacity(ids.count * channels)
    for id in ids.integers() {
      precondition(
        (0..<table.shape[0]).contains(id), "embedding: \(table.name): id \(id) is outside 0..<\(table.shape[0])")
      result += rows[id * channels..<(id + 1) * channels]
    }
    return Tensor(result, shape: Shape(ids.shape.dimensions + [channels]))
  }

  /// Joins tensors that are read as `blocks` rows of some length each: the first row of every part, then the second, …
  func join(_ parts: [(values: [Float], length: Int)], blocks: Int) -> [Float] {
    if parts.count == 1 { return parts[0].values }
    var result: [Float] = []
    result.reserveCapacity(parts.reduce(0) { $0 + $1.values.count })
    for block in 0..<blocks {
      for part in parts { result += part.values[block * part.length..<(block + 1) * part.length] }
    }
    return result
  }
}
