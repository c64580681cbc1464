import TensorCore

extension Weight {
  /// The numbers that the stored elements stand for, in row-major order, factors applied.
  func widened(for operation: String) throws(BackendError) -> [Float] {
    try checkType(for: operation)
    var values = tensor.floats()
    guard case .scaled(let factorTensor) = encoding else { return values }
    let factors = factorTensor.floats()
    let rows = shape.rank == 0 ? 1 : shape[0]
    precondition(
      factors.count == 1 || factors.count == rows,
      "\(operation): \(name) is \(tensor) with \(factors.count) factors, expected 1 or \(rows)")
    let rowLength = values.count / max(rows, 1)
    for index in values.indices {
      values[index] *= factors.count == 1 ? factors[0] : factors[index / rowLength]
    }
    return values
  }

  func checkType(for operation: String) throws(BackendError) {
    if dtype.isFloatingPoint || dtype == .int8 { return }
    throw .unsupportedType(
      operation: "\(operation): \(name)", found: dtype.description, supported: "floating-point numbers or int8")
  }
}
