public import TensorCore

/// The formats that checkpoints are converted to.
public enum StorageFormat: String, Sendable, CaseIterable {
  case bf16, f16
  /// e4m3 with one factor for a tensor.
  case fp8
  /// 8-bit integers with a factor for each row.
  case int8

  /// The type of the elements of matrices.
  public var dtype: DType {
    switch self {
    case .bf16: .bfloat16
    case .f16: .float16
    case .fp8: .float8E4M3
    case .int8: .int8
    }
  }

  /// Whether elements have factors beside them.
  public var isScaled: Bool { self == .fp8 || self == .int8 }

  /// The key of a parameter's factors: ComfyUI's name for `fp8`, that of compressed-tensors for `int8`.
  public func scaleKey(for key: String) -> String {
    let module = key.hasSuffix(".weight") ? String(key.dropLast(".weight".count)) : key
    return "\(module).\(self == .fp8 ? "scale_weight" : "weight_scale")"
  }

  /// The largest number of e4m3.
  private static let largestFloat8: Float = 448

  /// The factor by which stored elements with this largest magnitude are multiplied.
  public func factor(largest: Float) -> Float {
    if largest == 0 || !isScaled { return 1 }
    return largest / (self == .fp8 ? Self.largestFloat8 : 127)
  }

  /// The numbers divided by the factor, in the format, as bytes.
  public func stored(_ numbers: ArraySlice<Float>, factor: Float) -> [UInt8] {
    switch self {
    case .bf16: Self.bytes(numbers.map { BFloat16($0).bitPattern.littleEndian })
    case .f16: Self.bytes(numbers.map { Float16($0).bitPattern.littleEndian })
    case .fp8: numbers.map { Float8.e4m3(rounding: $0 / factor) }
    case .int8:
      numbers.map { number in
        let scaled = (number / factor).rounded(.toNearestOrEven)
        return UInt8(bitPattern: Int8(min(max(scaled.isNaN ? 0 : scaled, -127), 127)))
      }
    }
  }

  private static func bytes(_ values: [UInt16]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

  /// `Σ(stored - number)²` and `Σnumber²`.
  public func squaredError(
    of stored: [UInt8], from numbers: ArraySlice<Float>, factor: Float
  ) -> (error: Double, norm: Double) {
    var (error, norm) = (0.0, 0.0)
    stored.withUnsafeBytes { bytes in
      for (index, number) in numbers.enumerated() {
        let value: Float =
          switch self {
          case .bf16: Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16)
          case .f16: Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
          case .fp8: factor * Float8.e4m3Values[Int(bytes[index])]
          case .int8: factor * Float(Int8(bitPattern: bytes[index]))
          }
        let difference = Double(value - number)
        error += difference * difference
        norm += Double(number) * Double(number)
      }
    }
    return (error, norm)
  }
}
