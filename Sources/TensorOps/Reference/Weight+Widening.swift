public import TensorCore

extension Weight {
  /// The numbers that the stored elements stand for, in row-major order, factors applied.
  func widened(for operation: String) throws(BackendError) -> [Float] {
    try checkType(for: operation)
    if case .blocks(let format) = encoding {
      let bytes = UnsafeRawBufferPointer(start: tensor.hostPointer, count: tensor.byteCount)
      return stride(from: 0, to: bytes.count, by: format.byteCount).flatMap {
        format.values(ofBlock: UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + format.byteCount]))
      }
    }
    var values = tensor.floats()
    guard case .scaled(let factorTensor, let rounds) = encoding else { return values }
    let factors = factorTensor.floats()
    let rows = shape.rank == 0 ? 1 : shape[0]
    precondition(
      factors.count == 1 || factors.count == rows,
      "\(operation): \(name) is \(tensor) with \(factors.count) factors, expected 1 or \(rows)")
    let rowLength = values.count / max(rows, 1)
    for index in values.indices {
      values[index] *= factors.count == 1 ? factors[0] : factors[index / rowLength]
      if rounds { values[index] = Float(BFloat16(values[index])) }
    }
    return values
  }

  /// Whether every number that the stored elements stand for is finite; slow, and for weights that can be widened only.
  public func isFinite() throws(BackendError) -> Bool { try widened(for: "search").allSatisfy(\.isFinite) }

  func checkType(for operation: String) throws(BackendError) {
    if case .blocks = encoding { return }
    if dtype.isFloatingPoint || dtype == .int8 { return }
    throw .unsupportedType(
      operation: "\(operation): \(name)", found: dtype.description,
      supported: "floating-point numbers, int8 or GGUF blocks")
  }
}
