import TensorCore
import TensorOps

/// What follows the products of a linear layer, done on a tile of the result while that is in a cache: bias, nonlinearity, and the
/// stream that the result is added to. The numbers are those of one operation after the other, to the last bit.
///
/// It holds addresses: threads that share tensors wait for each other's counts of references. Who makes it keeps the tensors.
struct Epilogue {
  let bias: UnsafePointer<Float>?
  let activation: Activation
  let stream: Stream?

  /// Tokens `[B, L, C]` that those of the result are added to, and gates `[B, C]`.
  struct Stream {
    private let x: UnsafePointer<Float>
    private let gates: UnsafePointer<Float>?
    private let tokens: Int
    /// From one batch item to the next, from one token to the next, and from one item's gates to the next's.
    private let strides: (item: Int, token: Int, gates: Int)

    init(_ x: Tensor, gates: Tensor?) {
      self.x = UnsafePointer(x.floats)
      self.gates = gates.map { UnsafePointer($0.floats) }
      tokens = x.shape[1]
      strides = (x.strides[0], x.strides[1], gates?.strides[0] ?? 0)
    }

    /// A stream as `[B, L, C]` with a dense last axis: the tensor itself, or a view or a copy of it.
    static func tokens(_ x: Tensor, copied: (Tensor) -> Tensor) -> Tensor {
      let x = x.hasDenseRows ? x : copied(x)
      if x.shape.rank == 3 { return x }
      let shape: Shape = [1, x.shape.rows, x.shape.last]
      return x.reshapedView(shape) ?? copied(x).reshaped(shape)
    }

    /// Makes `x + gate · y` of some neighbours of a row `y`, in place.
    func add(_ row: Int, _ columns: Range<Int>, to y: UnsafeMutablePointer<Float>) {
      let (item, token) = row.quotientAndRemainder(dividingBy: tokens)
      let x = x + (item * strides.item + token * strides.token + columns.lowerBound)
      if let gates {
        let gate = gates + (item * strides.gates + columns.lowerBound)
        mapElements(columns.count, of: y, with: x, gate) { $1.addingProduct($2, $0) }
      } else {
        mapElements(columns.count, of: y, with: x) { $1 + $0 }
      }
    }
  }

  /// Finishes the products of some rows and columns of a result whose rows are `stride` apart.
  func finish(_ rows: Range<Int>, _ columns: Range<Int>, of result: UnsafeMutablePointer<Float>, stride: Int) {
    if bias == nil && activation == .none && stream == nil { return }
    let bias = bias.map { $0 + columns.lowerBound }
    for row in rows {
      let target = result + row * stride + columns.lowerBound
      activation.apply(columns.count, of: target, adding: bias)
      stream?.add(row, columns, to: target)
    }
  }
}
