import TensorCore

/// The names that the safetensors format has for element types.
enum SafetensorsType {
  private static let table: [(name: String, dtype: DType)] = [
    ("F64", .float64), ("F32", .float32), ("F16", .float16), ("BF16", .bfloat16), ("F8_E4M3", .float8E4M3),
    ("F8_E5M2", .float8E5M2), ("I64", .int64), ("I32", .int32), ("I16", .int16), ("I8", .int8), ("U8", .uint8),
    ("BOOL", .bool),
  ]

  private static let dtypes = Dictionary(uniqueKeysWithValues: table.map { ($0.name, $0.dtype) })

  /// All names that are read, for messages.
  static let names = table.map(\.name).joined(separator: ", ")

  /// The type with a name; nil for names that are unknown or not read.
  static func dtype(named name: String) -> DType? { dtypes[name] }

  /// The format's name for a type.
  static func name(of dtype: DType) -> String {
    switch dtype {
    case .float64: "F64"
    case .float32: "F32"
    case .float16: "F16"
    case .bfloat16: "BF16"
    case .float8E4M3: "F8_E4M3"
    case .float8E5M2: "F8_E5M2"
    case .int64: "I64"
    case .int32: "I32"
    case .int16: "I16"
    case .int8: "I8"
    case .uint8: "U8"
    case .bool: "BOOL"
    }
  }
}
