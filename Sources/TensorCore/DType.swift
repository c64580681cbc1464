/// The type of a tensor's elements.
public enum DType: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  case float32, float16, bfloat16, float64
  /// 8-bit floats: e4m3 with finite range ±448 (no infinities), and e5m2.
  case float8E4M3, float8E5M2
  case int8, uint8, int16, int32, int64, bool

  /// The size of one element in bytes.
  public var byteCount: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16, .int16: 2
    case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
    }
  }

  public var isFloatingPoint: Bool {
    switch self {
    case .float32, .float16, .bfloat16, .float64, .float8E4M3, .float8E5M2: true
    case .int8, .uint8, .int16, .int32, .int64, .bool: false
    }
  }

  public var description: String { rawValue }
}
