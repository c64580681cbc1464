public import TensorCore

/// The formats that checkpoints are converted to.
public enum StorageFormat: String, Sendable, CaseIterable {
  case f32, bf16, f16
  /// e4m3 with one factor for a tensor.
  case fp8
  /// 8-bit integers with a factor for each row.
  case int8
  /// GGUF's blocks of 32 numbers of 8 bits, 8.5 bits each with their factor.
  case q80 = "q8_0"
  /// GGUF's blocks of 256 numbers of 4 bits, 4.5 bits each with their factors.
  case q4K = "q4_k"

  /// The blocks that numbers are stored in; nil where they are stored one by one.
  public var blocks: BlockFormat? {
    switch self {
    case .f32, .bf16, .f16, .fp8, .int8: nil
    case .q80: .q80
    case .q4K: .q4K
    }
  }

  /// The size of so many numbers.
  /// - Precondition: they are whole blocks.
  public func byteCount(of count: Int) -> Int {
    blocks.map { count / $0.elementCount * $0.byteCount } ?? count * dtype.byteCount
  }

  /// The type of the elements of matrices; `uint8` for blocks.
  public var dtype: DType {
    switch self {
    case .f32: .float32
    case .bf16: .bfloat16
    case .f16: .float16
    case .fp8: .float8E4M3
    case .int8: .int8
    case .q80, .q4K: .uint8
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
  /// - Precondition: for blocks, numbers are whole blocks of finite numbers.
  public func stored(_ numbers: ArraySlice<Float>, factor: Float) -> [UInt8] {
    switch self {
    case .f32: Self.bytes(numbers.map { $0.bitPattern.littleEndian })
    case .bf16: Self.bytes(numbers.map { BFloat16($0).bitPattern.littleEndian })
    case .f16: Self.bytes(numbers.map { Float16($0).bitPattern.littleEndian })
    case .fp8: numbers.map { Float8.e4m3(rounding: $0 / factor) }
    case .int8:
      numbers.map { number in
        let scaled = (number / factor).rounded(.toNearestOrEven)
        return UInt8(bitPattern: Int8(min(max(scaled.isNaN ? 0 : scaled, -127), 127)))
      }
    case .q80, .q4K:
      blocks.map { format in
        stride(from: numbers.startIndex, to: numbers.endIndex, by: format.elementCount).flatMap {
          format.block(of: numbers[$0..<$0 + format.elementCount])
        }
      } ?? []
    }
  }

  private static func bytes<Value: FixedWidthInteger>(_ values: [Value]) -> [UInt8] {
    values.withUnsafeBytes { Array($0) }
  }

  /// `Σ(stored - number)²` and `Σnumber²`.
  public func squaredError(
    of stored: [UInt8], from numbers: ArraySlice<Float>, factor: Float
  ) -> (error: Double, norm: Double) {
    var (error, norm) = (0.0, 0.0)
    stored.withUnsafeBytes { bytes in
      var block: [Float] = []
      for (index, number) in numbers.enumerated() {
        if let format = blocks, index % format.elementCount == 0 {
          let start = index / format.elementCount * format.byteCount
          block = format.values(ofBlock: UnsafeRawBufferPointer(rebasing: bytes[start..<start + format.byteCount]))
        }
        let value: Float =
          switch self {
          case .f32: Float(bitPattern: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
          case .bf16: Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16)
          case .f16: Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
          case .fp8: factor * Float8.e4m3Values[Int(bytes[index])]
          case .int8: factor * Float(Int8(bitPattern: bytes[index]))
          case .q80, .q4K: block[index % block.count]
          }
        let difference = Double(value - number)
        error += difference * difference
        norm += Double(number) * Double(number)
      }
    }
    return (error, norm)
  }
}
