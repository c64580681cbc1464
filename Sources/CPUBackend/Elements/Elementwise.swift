public import TensorCore
public import TensorOps

extension CPUBackend {
  /// The nonlinearity of every element, in the layout of `x` where that is dense.
  public func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    mapped(x, .activate) { count, x, result in activation.apply(count, x, to: result) }
  }

  /// `silu(gate) · x`
  public func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor {
    mapped(gate, x, .gatedSiLU) { count, gate, x, result in
      mapElements(count, gate, x, to: result) { $0.timesSigmoid(of: $0) * $1 }
    }
  }

  /// `a · x + b · y`
  public func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    mapped(x, y, .combination) { count, x, y, result in
      mapElements(count, x, y, to: result) { (a * $0).addingProduct($1, b) }
    }
  }

  /// `x + gate · y`, or `x + y`
  public func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    guard let gate else {
      return mapped(x, y, .residual) { count, x, y, result in mapElements(count, x, y, to: result) { $0 + $1 } }
    }
    precondition(
      x.shape == y.shape && x.shape.rank == 3 && gate.shape == [x.shape[0], x.shape[2]],
      "residual: \(x) and \(y) with a gate \(gate), expected [B, L, C] and [B, C]")
    let (tokens, width) = (x.shape[1], x.shape[2])
    let (x, y, gates) = (rows(x, "residual"), rows(y, "residual"), rows(gate, "residual"))
    let result = workspace.tensor(x.tensor.shape)
    let values = result.floats
    workspace.note(
      .gatedResidual, [x.count, width], reads: x.tensor.byteCount + y.tensor.byteCount, writes: result.byteCount)
    workspace.parallelRanges(count: x.count, grain: CPUBackend.rowGrain(width)) { range in
      for row in range {
        let gate = UnsafePointer(gates.row(row / tokens))
        let (x, y, target) = (UnsafePointer(x.row(row)), UnsafePointer(y.row(row)), values + row * width)
        for index in 0..<width { target[index] = x[index].addingProduct(gate[index], y[index]) }
      }
    }
    return result
  }

  /// Elements that are worth waking another thread for.
  static let elementGrain = 1 << 14

  /// The same in rows.
  static func rowGrain(_ width: Int) -> Int { max(1, elementGrain / max(width, 1)) }

  /// Applies a function of `count` neighbouring elements to a whole tensor.
  private func mapped(
    _ x: Tensor, _ kind: PlannedOperation.Kind,
    _ body: (Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) -> Tensor {
    mapped(x, x, kind, reads: x.byteCount) { count, x, _, result in body(count, x, result) }
  }

  /// Applies a function of `count` neighbouring elements to two whole tensors of one shape.
  /// - Parameter reads: bytes; of both where absent.
  private func mapped(
    _ x: Tensor, _ y: Tensor, _ kind: PlannedOperation.Kind, reads: Int? = nil,
    _ body: (Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) -> Tensor {
    let operation = kind.rawValue
    x.requireFloat32(operation)
    y.requireFloat32(operation)
    precondition(x.shape == y.shape, "\(operation): \(x) and \(y) differ in shape")
    workspace.note(kind, [x.count], reads: reads ?? x.byteCount + y.byteCount, writes: x.byteCount)
    if x.isDense || !x.hasDenseRows {
      let x = x.isDense ? x : copied(x)
      let y = arranged(y, like: x)
      let result = workspace.tensor(like: x)
      let (first, second, values) = (UnsafePointer(x.floats), UnsafePointer(y.floats), result.floats)
      withExtendedLifetime((x, y)) {
        workspace.parallelRanges(count: x.count, grain: CPUBackend.elementGrain) { range in
          let start = range.lowerBound
          body(range.count, first + start, second + start, values + start)
        }
      }
      return result
    }
    let (first, second) = (rows(x, operation), rows(y, operation))
    let result = workspace.tensor(x.shape)
    let (values, width) = (result.floats, first.width)
    workspace.parallelRanges(count: first.count, grain: CPUBackend.rowGrain(width)) { range in
      for row in range { body(width, first.row(row), second.row(row), values + row * width) }
    }
    return result
  }
}
