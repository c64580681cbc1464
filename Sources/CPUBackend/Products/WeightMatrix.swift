import TensorCore
import TensorOps

/// The types that weights may be stored in.
enum StoredType: Equatable {
  case float32, float64, float16, bfloat16, float8E4M3, float8E5M2, int8
  case blocks(BlockFormat)

  init(of weight: Weight, _ operation: String) throws(BackendError) {
    if case .blocks(let format) = weight.encoding {
      self = .blocks(format)
      return
    }
    switch weight.dtype {
    case .float32: self = .float32
    case .float64: self = .float64
    case .float16: self = .float16
    case .bfloat16: self = .bfloat16
    case .float8E4M3: self = .float8E4M3
    case .float8E5M2: self = .float8E5M2
    case .int8: self = .int8
    case .uint8, .int16, .int32, .int64, .bool:
      throw .unsupportedType(
        operation: "\(operation): \(weight.name)", found: weight.dtype.description,
        supported: "floating-point numbers, int8 or GGUF blocks")
    }
  }
}

/// A weight read as a matrix `[rows, columns]` (the first axis, all others) in its stored type.
struct WeightMatrix {
  let weight: Weight
  let type: StoredType
  let rows: Int
  let columns: Int
  /// Factors of rows; empty where stored elements are the numbers themselves.
  let factors: [Float]
  /// Whether products with factors are rounded.
  let roundsToBFloat16: Bool

  init(_ weight: Weight, _ operation: String) throws(BackendError) {
    self.weight = weight
    type = try StoredType(of: weight, operation)
    rows = weight.shape.rank == 0 ? 1 : weight.shape[0]
    columns = rows == 0 ? 0 : weight.shape.count / rows
    guard case .scaled(let tensor, let rounds) = weight.encoding else {
      factors = []
      roundsToBFloat16 = false
      return
    }
    roundsToBFloat16 = rounds
    let values = tensor.floats()
    precondition(
      values.count == 1 || values.count == rows,
      "\(operation): \(weight.name) is \(weight.tensor) with \(values.count) factors, expected 1 or \(rows)")
    factors = values.count == rows ? values : Array(repeating: values[0], count: rows)
  }

  /// Whether stored elements have factors.
  var isScaled: Bool { !factors.isEmpty }

  /// The stored elements as float32 numbers, where that is what they are.
  var float32: UnsafePointer<Float>? {
    let address = weight.tensor.hostPointer
    guard type == .float32, factors.isEmpty, Int(bitPattern: address) % 4 == 0 else { return nil }
    return address.assumingMemoryBound(to: Float.self)
  }

  /// Writes part of the matrix as float32, rows `stride` elements apart.
  func widen(
    rows: Range<Int>, columns: Range<Int>, to panel: UnsafeMutablePointer<Float>, stride: Int
  ) {
    let base = weight.tensor.hostPointer
    if case .blocks(let format) = type {
      let rowByteCount = weight.tensor.byteCount / max(self.rows, 1)
      for row in rows {
        format.widen(columns, of: base + row * rowByteCount, to: panel + (row - rows.lowerBound) * stride)
      }
      return
    }
    for row in rows {
      let source = base + (row * self.columns + columns.lowerBound) * weight.dtype.byteCount
      let target = panel + (row - rows.lowerBound) * stride
      switch type {
      case .float32: WeightMatrix.widen(StoredFloat32.self, columns.count, source, to: target)
      case .float64: WeightMatrix.widen(StoredFloat64.self, columns.count, source, to: target)
      case .float16: WeightMatrix.widen(StoredFloat16.self, columns.count, source, to: target)
      case .bfloat16: WeightMatrix.widen(StoredBFloat16.self, columns.count, source, to: target)
      case .float8E4M3: WeightMatrix.widen(StoredFloat8E4M3.self, columns.count, source, to: target)
      case .float8E5M2: WeightMatrix.widen(StoredFloat8E5M2.self, columns.count, source, to: target)
      case .int8: WeightMatrix.widen(StoredInt8.self, columns.count, source, to: target)
      case .blocks: break
      }
      if factors.isEmpty { continue }
      let factor = factors[row]
      if roundsToBFloat16 {
        mapElements(columns.count, of: target) { Float(BFloat16($0 * factor)) }
      } else {
        mapElements(columns.count, of: target) { $0 * factor }
      }
    }
  }

  @inline(__always)
  private static func widen<Number: StoredNumber>(
    _: Number.Type, _ count: Int, _ source: UnsafeRawPointer, to target: UnsafeMutablePointer<Float>
  ) {
    for index in 0..<count { target[index] = Number.number(at: source + index * Number.byteCount) }
  }
}
