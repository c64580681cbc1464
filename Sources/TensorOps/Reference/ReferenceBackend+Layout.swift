public import TensorCore

extension ReferenceBackend {
  /// The tensor itself where it is dense.
  public func contiguous(_ x: Tensor) throws(BackendError) -> Tensor {
    x.isContiguous ? x : Tensor(read(x, "contiguous"), shape: x.shape)
  }

  /// Joins along an axis.
  public func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    guard let first = tensors.first, (0..<first.shape.rank).contains(axis) else {
      preconditionFailure("concatenate: \(tensors) have no axis \(axis)")
    }
    var dimensions = first.shape.dimensions
    for tensor in tensors {
      var expected = tensor.shape.dimensions
      if expected.count > axis { expected[axis] = first.shape[axis] }
      precondition(
        expected == first.shape.dimensions, "concatenate: \(first) and \(tensor) differ beside axis \(axis)")
    }
    dimensions[axis] = tensors.reduce(0) { $0 + $1.shape[axis] }
    let blocks = dimensions[..<axis].reduce(1, *)
    let parts = tensors.map { (read($0, "concatenate"), $0.count / max(blocks, 1)) }
    return Tensor(join(parts, blocks: blocks), shape: Shape(dimensions))
  }

  /// Mean over axis 1.
  public func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 3 && x.shape[1] > 0, "meanOverTokens: expected [B, L, C], found \(x)")
    let (batch, tokens, channels) = (x.shape[0], x.shape[1], x.shape[2])
    let values = read(x, "meanOverTokens")
    var result: [Float] = []
    for item in 0..<batch {
      for channel in 0..<channels {
        var sum = 0.0
        for token in 0..<tokens { sum += Double(values[(item * tokens + token) * channels + channel]) }
        result.append(Float(sum / Double(tokens)))
      }
    }
    return Tensor(result, shape: [batch, channels])
  }

  /// `Σ|x|` or `Σ|x - y|`
  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    guard let y else { return read(x, "absoluteSum").reduce(0) { $0 + abs(Double($1)) } }
    let (first, second) = read(x, y, "absoluteSum")
    return zip(first, second).reduce(0) { $0 + abs(Double($1.0) - Double($1.1)) }
  }

  /// Whether every element is a number.
  public func isFinite(_ x: Tensor) throws(BackendError) -> Bool {
    read(x, "isFinite").allSatisfy(\.isFinite)
  }
}
