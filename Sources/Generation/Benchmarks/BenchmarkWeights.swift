import Checkpoints
import Layers
import TensorCore
import TensorOps

/// How a benchmark's matrices and kernels are stored.
public enum BenchmarkFormat: String, Sendable, CaseIterable {
  case f32, bf16, f16
  /// Eight bits and one factor for the tensor.
  case fp8, int8

  var dtype: DType {
    switch self {
    case .f32: .float32
    case .bf16: .bfloat16
    case .f16: .float16
    case .fp8: .float8E4M3
    case .int8: .int8
    }
  }
}

/// Random weights of the real shapes in memory, for networks that are timed and not looked at.
struct BenchmarkWeights {
  private let format: BenchmarkFormat
  private var numbers = SplitMix64(state: 1)
  private var tensors: [(name: String, tensor: Tensor)] = []
  private var shared: [String: Tensor] = [:]

  init(_ format: BenchmarkFormat) { self.format = format }

  /// A parameter whose values neither grow nor shrink what it is multiplied with: vectors named `weight` are around one,
  /// other vectors around zero, matrices and kernels keep the variance.
  /// - Parameter sharedAs: parameters with the same key are one block of memory.
  mutating func add(_ name: String, _ shape: Shape, sharedAs key: String? = nil) {
    if let key, let tensor = shared[key] {
      tensors.append((name, tensor))
      return
    }
    let tensor = shape.rank > 1 ? matrix(shape) : vector(shape, around: name.hasSuffix("weight") ? 1 : 0)
    if let key { shared[key] = tensor }
    tensors.append((name, tensor))
  }

  /// Weight and bias of a layer.
  mutating func addLayer(_ name: String, _ shape: Shape, bias: Bool = true, sharedAs key: String? = nil) {
    add(name + ".weight", shape, sharedAs: key.map { $0 + ".weight" })
    if bias { add(name + ".bias", [shape[0]], sharedAs: key.map { $0 + ".bias" }) }
  }

  /// The root of the weights, adopted by a device.
  func scope(on backend: any Backend) -> WeightScope {
    let format = format
    return WeightScope(Checkpoint(tensors, path: "random weights")) { weight in
      try backend.adopt(weight.shape.rank > 1 ? BenchmarkWeights.encoded(weight, format) : weight)
    }
  }

  /// Gives eight-bit elements their factor; int8 elements lie in the checkpoint as bytes of another type, because it
  /// accounts for floating-point numbers alone.
  private static func encoded(_ weight: Weight, _ format: BenchmarkFormat) -> Weight {
    let inputs = Float(weight.shape.count / max(weight.shape[0], 1))
    let deviation: Float
    switch format {
    case .f32, .bf16, .f16: return weight
    case .fp8: deviation = 0.83
    case .int8: deviation = 74
    }
    let stored = weight.tensor
    let tensor = Tensor(shape: stored.shape, dtype: format.dtype, offset: stored.offset, storage: stored.storage)
    let factor = Tensor([1 / (deviation * inputs.squareRoot())], shape: [1])
    return Weight(name: weight.name, tensor: tensor, encoding: .scaled(by: factor))
  }

  private mutating func vector(_ shape: Shape, around center: Float) -> Tensor {
    let values = (0..<shape.count).map { _ in center + 0.1 * numbers.uniform() }
    return Tensor(values, shape: shape)
  }

  private mutating func matrix(_ shape: Shape) -> Tensor {
    let width = (3 * Float(shape[0]) / Float(max(shape.count, 1))).squareRoot()
    switch format {
    case .f32: return filled(shape, .float32, as: Float.self) { width * $0.uniform() }
    case .bf16: return filled(shape, .bfloat16, as: UInt16.self) { UInt16((width * $0.uniform()).bitPattern >> 16) }
    case .f16: return filled(shape, .float16, as: UInt16.self) { Float16(width * $0.uniform()).bitPattern }
    // Magnitudes from 1/8 to 1.875, either sign.
    case .fp8:
      return filled(shape, .float8E4M3, as: UInt8.self) { UInt8(truncatingIfNeeded: $0.next()) & 0x9F | 0x20 }
    case .int8: return filled(shape, .float8E4M3, as: UInt8.self) { UInt8(truncatingIfNeeded: $0.next()) }
    }
  }

  private mutating func filled<Element>(
    _ shape: Shape, _ dtype: DType, as _: Element.Type, _ element: (inout SplitMix64) -> Element
  ) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype)
    let address = tensor.mutableHostPointer.bindMemory(to: Element.self, capacity: shape.count)
    var numbers = numbers
    for index in 0..<shape.count { (address + index).initialize(to: element(&numbers)) }
    self.numbers = numbers
    return tensor
  }
}

/// Activations of a benchmark: uniform numbers of variance one.
func benchmarkActivations(_ shape: Shape) -> Tensor {
  var numbers = SplitMix64(state: 2)
  return Tensor((0..<shape.count).map { _ in 1.732 * numbers.uniform() }, shape: shape)
}

/// A fast source of numbers that do not matter (Steele, Lea and Flood 2014).
struct SplitMix64 {
  var state: UInt64

  @inline(__always)
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// From -1 to 1.
  @inline(__always)
  mutating func uniform() -> Float { Float(Int64(bitPattern: next()) >> 40) * 0x1p-23 }
}
