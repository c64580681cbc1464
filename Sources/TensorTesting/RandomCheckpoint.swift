public import Checkpoints
public import TensorCore

/// A tiny checkpoint of seeded random weights, scaled so that activations neither vanish nor explode.
public struct RandomCheckpoint: Sendable {
  private var tensors: [(name: String, tensor: Tensor)] = []
  private var state: UInt64

  /// A checkpoint with tensors of the given names and shapes.
  public init(_ shapes: KeyValuePairs<String, Shape> = [:], dtype: DType = .float32, seed: UInt64) {
    state = seed
    for (name, shape) in shapes { add(name, shape: shape, dtype: dtype) }
  }

  /// Adds a weight: matrices and convolutions are uniform within `√(3 / inputs)` (unit variance is kept), vectors named
  /// `weight` lie around one, other vectors around zero.
  /// - Precondition: `dtype` is float32, float16 or bfloat16.
  public mutating func add(_ name: String, shape: Shape, dtype: DType = .float32) {
    let inputs = shape.dimensions.dropFirst().reduce(1, *)
    let isVector = shape.rank < 2
    let center: Float = isVector && name.hasSuffix("weight") ? 1 : 0
    let width: Float = isVector ? 0.1 : (3 / Float(max(inputs, 1))).squareRoot()
    let values = (0..<shape.count).map { _ in center + width * uniform() }
    tensors.append((name, RandomCheckpoint.tensor(values, shape: shape, dtype: dtype)))
  }

  /// The weights in memory.
  public var checkpoint: Checkpoint { Checkpoint(tensors) }

  /// Writes the weights as a safetensors file.
  /// - Throws: `CheckpointError.unwritable`.
  public func write(to path: String) throws(CheckpointError) { try SafetensorsWriter.write(tensors, to: path) }

  /// A number from -1 to 1: SplitMix64, upper 24 bits.
  private mutating func uniform() -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    var bits = state
    bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
    bits ^= bits >> 31
    return Float(bits >> 40) * 0x1p-23 - 1
  }

  private static func tensor(_ values: [Float], shape: Shape, dtype: DType) -> Tensor {
    let bits: [UInt16]
    switch dtype {
    case .float32: return Tensor(values, shape: shape)
    case .float16: bits = values.map { Float16($0).bitPattern }
    case .bfloat16: bits = values.map { BFloat16($0).bitPattern }
    default: preconditionFailure("random checkpoint: \(dtype) is not float32, float16 or bfloat16")
    }
    let tensor = Tensor(uninitialized: shape, dtype)
    bits.withUnsafeBytes { bytes in
      if let source = bytes.baseAddress { tensor.mutableHostPointer.copyMemory(from: source, byteCount: bytes.count) }
    }
    return tensor
  }
}
