public import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A seeded source of tensors and weights for tests: the same seed gives the same numbers on every machine, up to the
/// last bit of the system's logarithm and cosine.
public struct RandomTensors: Sendable, RandomNumberGenerator {
  private var state: UInt64
  private var spare: Double?

  /// A source whose numbers depend on the seed alone.
  public init(seed: UInt64) { state = seed }

  /// SplitMix64 (Steele, Lea and Flood 2014).
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number in (0, 1].
  public mutating func uniform() -> Double { (Double(next() >> 11) + 1) * 0x1p-53 }

  /// A normally distributed number, two at a time by Box and Muller's transformation.
  public mutating func normal() -> Double {
    if let spare {
      self.spare = nil
      return spare
    }
    let radius = (-2 * log(uniform())).squareRoot()
    let angle = 2 * Double.pi * uniform()
    spare = radius * sin(angle)
    return radius * cos(angle)
  }

  /// Normally distributed numbers.
  public mutating func values(_ count: Int, mean: Double = 0, deviation: Double = 1) -> [Float] {
    var result: [Float] = []
    result.reserveCapacity(count)
    for _ in 0..<count { result.append(Float(mean + deviation * normal())) }
    return result
  }

  /// A dense float32 tensor of normally distributed numbers.
  public mutating func tensor(_ shape: Shape, mean: Double = 0, deviation: Double = 1) -> Tensor {
    Tensor(values(shape.count, mean: mean, deviation: deviation), shape: shape)
  }

  /// A view with gaps: what a slice of a fused tensor along `axis` looks like, by default the last.
  public mutating func slice(_ shape: Shape, axis: Int? = nil, mean: Double = 0, deviation: Double = 1) -> Tensor {
    let axis = axis ?? shape.rank - 1
    var dimensions = shape.dimensions
    dimensions[axis] += 5
    return tensor(Shape(dimensions), mean: mean, deviation: deviation).slice(axis, 3..<3 + shape[axis])
  }

  /// `[B, C, …]` as a view of memory in which the channels are innermost: no dense last axis.
  public mutating func channelsLast(_ shape: Shape, mean: Double = 0, deviation: Double = 1) -> Tensor {
    let stored = Shape([shape[0]] + shape.dimensions[2...] + [shape[1]])
    let order = [0, shape.rank - 1] + Array(1..<shape.rank - 1)
    return tensor(stored, mean: mean, deviation: deviation).permuted(order)
  }

  /// Numbers from 0 up to but not including `bound`, int32.
  public mutating func ids(_ shape: Shape, below bound: Int) -> Tensor {
    var result: [Int32] = []
    for _ in 0..<shape.count { result.append(Int32(Int.random(in: 0..<bound, using: &self))) }
    return Tensor(result, shape: shape)
  }

  /// A parameter of normally distributed numbers, rounded to what `format` can hold.
  public mutating func weight(
    _ name: String, _ shape: Shape, _ format: WeightFormat = .float32, mean: Double = 0, deviation: Double = 1
  ) -> Weight {
    let numbers = values(shape.count, mean: mean, deviation: deviation)
    let rows = shape[0]
    let factorCount = format.scaling == .none ? 0 : format.scaling == .tensor ? 1 : rows
    // Factors that put most numbers into the middle of the type's range.
    let factors = (0..<factorCount).map { _ in Float((abs(mean) + deviation) * (1 + uniform()) / 32) }
    let rowLength = max(numbers.count / max(rows, 1), 1)
    let scaled =
      factors.isEmpty
      ? numbers : numbers.indices.map { numbers[$0] / factors[factorCount == 1 ? 0 : $0 / rowLength] }
    return Weight(
      name: name, tensor: WeightFormat.encode(scaled, shape: shape, as: format.dtype),
      encoding: factors.isEmpty
        ? .plain : .scaled(by: Tensor(factors, shape: [factorCount]), roundsToBFloat16: format.roundsToBFloat16))
  }
  /// A parameter `[…, C]` of blocks of random bits, whose factors in half precision are of a usual size.
  /// - Precondition: rows are whole blocks.
  public mutating func weight(_ name: String, _ shape: Shape, _ format: BlockFormat) -> Weight {
    precondition(shape.last % format.elementCount == 0, "random weight: \(shape) is not of \(format) blocks")
    let rowBytes = shape.last / format.elementCount * format.byteCount
    let tensor = Tensor(uninitialized: Shape(shape.dimensions.dropLast() + [rowBytes]), .uint8)
    let bytes = UnsafeMutableRawBufferPointer(start: tensor.mutableHostPointer, count: tensor.byteCount)
    for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: next()) }
    let halves: [Int]
    switch format {
    case .q40, .q50, .q80, .iq4NL, .iq4XS: halves = [0]
    case .q2K: halves = [80, 82]
    case .q3K: halves = [108]
    case .q41, .q51, .q4K, .q5K: halves = [0, 2]
    case .q6K: halves = [208]
    }
    for block in stride(from: 0, to: bytes.count, by: format.byteCount) {
      for half in halves {
        bytes.storeBytes(of: Float16(0.02 * normal()).bitPattern, toByteOffset: block + half, as: UInt16.self)
      }
    }
    return Weight(name: name, tensor: tensor, encoding: .blocks(format))
  }
}
