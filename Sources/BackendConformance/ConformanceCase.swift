public import TensorCore
public import TensorOps

/// One computation that every backend has to agree on with `ReferenceBackend`. The cases are data, so that a test
/// suite for another backend needs nothing but the backend.
public struct ConformanceCase: Sendable, CustomStringConvertible {
  /// The operation with its shapes and variants.
  public let name: String
  /// The largest relative norm of the difference for a backend that computes in float32.
  public let relative: Double
  private let body: @Sendable (inout ConformanceInputs) throws -> [Tensor]

  /// - Parameters:
  ///   - name: The operation with its shapes and variants; it also seeds the inputs.
  ///   - relative: The tolerance in float32.
  ///   - body: Draws inputs and computes with `ConformanceInputs.backend`; returns tensors of that backend.
  public init(
    _ name: String, relative: Double = 1e-5, _ body: @escaping @Sendable (inout ConformanceInputs) throws -> [Tensor]
  ) {
    self.name = name
    self.relative = relative
    self.body = body
  }

  /// The name.
  public var description: String { name }

  /// The results of a backend on the host. Every backend gets the same inputs.
  /// - Parameters:
  ///   - backend: What computes.
  ///   - dtype: What activations and plain float32 weights are rounded to beforehand: with the activation type of a 16-bit
  ///     backend, here and for the reference, only the operation's own rounding is compared.
  public func run(_ backend: any Backend, rounding dtype: DType = .float32) throws -> [Tensor] {
    var inputs = ConformanceInputs(backend: backend, name: name, rounding: dtype)
    return try body(&inputs).map { try backend.download($0) }
  }

  /// The cases of all operations.
  public static var all: [ConformanceCase] {
    linear + addedLinear + storedWeights + normalization + headNorm + attention + convolution + elementwise + layout
  }
}

/// Random inputs on a backend.
public struct ConformanceInputs {
  public let backend: any Backend
  /// The source of the numbers.
  public var random: RandomTensors
  /// What activations and plain weights are rounded to.
  private let rounding: DType

  init(backend: any Backend, name: String, rounding: DType) {
    self.backend = backend
    self.rounding = rounding
    // FNV-1a: `Hasher` is seeded anew in every process.
    let seed = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    random = RandomTensors(seed: seed)
  }

  /// A finite number near the end of what activations can hold.
  var largeNumber: Float { rounding == .float16 ? 6e4 : 1e30 }

  /// A dense tensor of normally distributed numbers.
  public mutating func tensor(_ shape: Shape, mean: Double = 0, deviation: Double = 1) throws -> Tensor {
    let values = random.values(shape.count, mean: mean, deviation: deviation)
    return try backend.upload(WeightFormat.encode(values, shape: shape, as: rounding))
  }

  /// A slice of a larger tensor on the backend: rows with gaps between them, or planes.
  public mutating func slice(_ shape: Shape, axis: Int, mean: Double = 0) throws -> Tensor {
    var dimensions = shape.dimensions
    dimensions[axis] += 5
    return try tensor(Shape(dimensions), mean: mean).slice(axis, 3..<3 + shape[axis])
  }

  /// A parameter in the backend's form.
  public mutating func weight(
    _ shape: Shape, _ format: WeightFormat = .float32, mean: Double = 0, deviation: Double = 1
  ) throws -> Weight {
    let format = format == .float32 ? WeightFormat(rounding) : format
    return try backend.adopt(random.weight("weight", shape, format, mean: mean, deviation: deviation))
  }

  /// Cosines and sines of random angles, float32 on the host for every backend.
  public mutating func rotary(_ tokens: Int, size: Int, _ pairing: RotaryTable.Pairing) -> RotaryTable {
    let shape: Shape = [tokens, size / 2]
    let pairs = (0..<shape.count).map { _ in
      let (x, y) = (random.normal(), random.normal())
      let length = (x * x + y * y).squareRoot()
      return (cosine: Float(x / length), sine: Float(y / length))
    }
    return RotaryTable(
      cosines: Tensor(pairs.map(\.cosine), shape: shape), sines: Tensor(pairs.map(\.sine), shape: shape),
      pairing: pairing)
  }
}
