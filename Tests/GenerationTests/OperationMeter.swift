import Checkpoints
import HunyuanVideo
import Synchronization
import TensorCore
import TensorOps

/// A device without memory: results have shapes and no numbers, and what computing them would have taken is added up. Networks
/// of any size run on it in milliseconds.
final class OperationMeter: Backend {
  struct Work: Sendable {
    /// Multiplications and additions.
    var operations = 0.0
    /// Of activations, read and written.
    var activationBytes = 0.0
    /// Of parameters, read.
    var weightBytes = 0.0
  }

  /// Memory that nobody can read.
  final class Nowhere: Storage {
    let byteCount: Int
    var hostAddress: UnsafeMutableRawPointer? { nil }
    init(byteCount: Int) { self.byteCount = byteCount }
  }

  let name = "meter"
  let activationType = DType.float32
  private let total = Mutex(Work())

  /// What was done since it was last asked.
  func take() -> Work {
    total.withLock { work in
      defer { work = Work() }
      return work
    }
  }

  /// A transformer of any size, whose parameters are nowhere.
  static func transformer(_ configuration: TransformerConfiguration) throws -> HunyuanVideoTransformer {
    let tensors = configuration.parameters.map { ($0.name, nowhere($0.shape, .bfloat16)) }
    return try HunyuanVideoTransformer(WeightScope(Checkpoint(tensors)), configuration: configuration)
  }

  private static func nowhere(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
    Tensor(shape: shape, dtype: dtype, storage: Nowhere(byteCount: shape.count * dtype.byteCount))
  }

  /// A result of a shape, made from tensors and parameters.
  private func made(
    _ shape: Shape, from inputs: [Tensor], weights: [Weight?] = [], operations: Double? = nil
  ) -> Tensor {
    let result = Self.nowhere(shape)
    count(inputs + [result], weights: weights, operations: operations ?? Double(shape.count))
    return result
  }

  private func count(_ tensors: [Tensor], weights: [Weight?] = [], operations: Double) {
    total.withLock { work in
      work.operations += operations
      work.activationBytes += tensors.reduce(0) { $0 + Double($1.count * 4) }
      work.weightBytes += weights.reduce(0) { $0 + Double($1?.tensor.byteCount ?? 0) }
    }
  }

  // MARK: Moving data

  func upload(_ tensor: Tensor) -> Tensor { tensor }
  func download(_ tensor: Tensor) -> Tensor { Tensor([Float](repeating: 0, count: tensor.count), shape: tensor.shape) }
  func adopt(_ weight: Weight) -> Weight { weight }

  // MARK: Products

  func linear(_ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation) -> Tensor {
    let shape = Shape(inputs[0].shape.dimensions.dropLast() + [weight.shape[0]])
    return made(
      shape, from: inputs, weights: [weight, bias], operations: 2 * Double(shape.count) * Double(weight.shape[1]))
  }

  func embedding(_ ids: Tensor, table: Weight) -> Tensor {
    made(Shape(ids.shape.dimensions + [table.shape[1]]), from: [])
  }

  func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) -> [AttentionOutput] {
    let keys = keyValues.reduce(0) { $0 + $1.key.shape[1] }
    return queries.map { query in
      let inputs = [query] + keyValues.flatMap { [$0.key, $0.value] }
      let values = made(query.shape, from: inputs, operations: 4 * Double(query.count) * Double(keys))
      return AttentionOutput(values: values, logSumExp: nil)
    }
  }

  func merged(_ a: AttentionOutput, _ b: AttentionOutput) -> AttentionOutput {
    AttentionOutput(values: made(a.values.shape, from: [a.values, b.values]), logSumExp: nil)
  }

  func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) -> Tensor {
    preconditionFailure("the meter has no convolutions: transformers have none")
  }

  // MARK: One element at a time

  func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) -> Tensor { made(x.shape, from: [x], weights: [weight, bias], operations: 8 * Double(x.count)) }

  func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) -> Tensor { made(x.shape, from: [x], weights: [weight]) }

  func headNorm(_ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?) -> Tensor {
    made(x.shape, from: [x], weights: [weight], operations: 8 * Double(x.count))
  }

  func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) -> Tensor { made(x.shape, from: [x], weights: [weight, bias]) }

  func activate(_ x: Tensor, _ activation: Activation) -> Tensor { made(x.shape, from: [x]) }
  func gatedSiLU(gate: Tensor, _ x: Tensor) -> Tensor { made(x.shape, from: [gate, x]) }
  func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) -> Tensor {
    made(x.shape, from: [x, y], operations: 2 * Double(x.count))
  }
  func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) -> Tensor {
    made(x.shape, from: [x, y], operations: 3 * Double(x.count))
  }

  // MARK: Layout and reductions

  func contiguous(_ x: Tensor) -> Tensor { made(x.shape, from: [x], operations: 0) }

  func concatenate(_ tensors: [Tensor], axis: Int) -> Tensor {
    var extents = tensors[0].shape.dimensions
    extents[axis] = tensors.reduce(0) { $0 + $1.shape[axis] }
    return made(Shape(extents), from: tensors, operations: 0)
  }

  func meanOverTokens(_ x: Tensor) -> Tensor { made([x.shape[0], x.shape[2]], from: [x], operations: Double(x.count)) }

  func absoluteSum(_ x: Tensor, minus y: Tensor?) -> Double {
    count(y.map { [x, $0] } ?? [x], operations: 3 * Double(x.count))
    return 1
  }

  func isFinite(_ x: Tensor) -> Bool {
    count([x], operations: Double(x.count))
    return true
  }
}
