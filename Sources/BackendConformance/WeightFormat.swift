public import TensorCore

/// One way in which checkpoints store a parameter.
public struct WeightFormat: Sendable, Hashable, CustomStringConvertible {
  /// What stored elements are multiplied by.
  public enum Scaling: String, Sendable { case none, tensor, rows }

  /// The type of stored elements.
  public let dtype: DType
  /// What they are multiplied by.
  public let scaling: Scaling
  /// Whether products with factors are rounded to bfloat16.
  public let roundsToBFloat16: Bool

  /// Elements of a type, with or without factors.
  public init(_ dtype: DType, scaling: Scaling = .none, roundsToBFloat16: Bool = false) {
    self.dtype = dtype
    self.scaling = scaling
    self.roundsToBFloat16 = roundsToBFloat16
  }

  /// Numbers as they are.
  public static let float32 = WeightFormat(.float32)
  /// The type that most checkpoints are published in.
  public static let bfloat16 = WeightFormat(.bfloat16)

  /// The formats without factors and quantization, in which every parameter comes.
  public static let plain = [DType.float32, .float16, .bfloat16].map { WeightFormat($0) }

  /// All formats that operations take.
  public static let all =
    plain + [DType.float8E4M3, .float8E5M2].map { WeightFormat($0) }
    + [DType.float8E4M3, .float8E5M2, .int8].flatMap {
      [WeightFormat($0, scaling: .tensor), .init($0, scaling: .rows)]
    } + [WeightFormat(.float8E4M3, scaling: .tensor, roundsToBFloat16: true)]

  /// For the names of test cases.
  public var description: String {
    scaling == .none ? "\(dtype)" : "\(dtype) scaled by \(scaling)" + (roundsToBFloat16 ? ", rounded" : "")
  }

  /// The nearest numbers of a type.
  /// - Precondition: the type is one that weights are stored in.
  public static func encode(_ values: [Float], shape: Shape, as dtype: DType) -> Tensor {
    func tensor<Element>(_ elements: [Element]) -> Tensor {
      let result = Tensor(uninitialized: shape, dtype)
      elements.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(start: result.mutableHostPointer, count: result.byteCount).copyMemory(from: $0)
      }
      return result
    }
    switch dtype {
    case .float32: return tensor(values)
    case .float16: return tensor(values.map { Float16($0).bitPattern })
    case .bfloat16: return tensor(values.map { BFloat16($0).bitPattern })
    case .float8E4M3: return tensor(nearest(values, in: Float8.e4m3Values))
    case .float8E5M2: return tensor(nearest(values, in: Float8.e5m2Values))
    case .int8: return tensor(values.map { Int8(min(max($0.rounded(.toNearestOrEven), -127), 127)) })
    default: preconditionFailure("weight format: no weights are stored as \(dtype)")
    }
  }

  /// The position of the nearest finite number of a table of 256, for each value.
  private static func nearest(_ values: [Float], in table: [Float]) -> [UInt8] {
    let codes = (0..<256).filter { table[$0].isFinite }.sorted { table[$0] < table[$1] }
    return values.map { value in
      var (low, high) = (0, codes.count - 1)
      while high - low > 1 {
        let middle = (low + high) / 2
        if table[codes[middle]] <= value { low = middle } else { high = middle }
      }
      return UInt8(abs(value - table[codes[low]]) <= abs(table[codes[high]] - value) ? codes[low] : codes[high])
    }
  }
}
