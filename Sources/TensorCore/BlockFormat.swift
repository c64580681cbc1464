/// Quantized formats of GGUF files: a row is a sequence of blocks, each a few numbers in half precision and small
/// integers that they are multiplied with. The layouts are those of the ggml library.
public enum BlockFormat: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  case q40 = "Q4_0"
  case q41 = "Q4_1"
  case q50 = "Q5_0"
  case q51 = "Q5_1"
  case q80 = "Q8_0"
  case q2K = "Q2_K"
  case q3K = "Q3_K"
  case q4K = "Q4_K"
  case q5K = "Q5_K"
  case q6K = "Q6_K"
  /// 4-bit places in a table of 16 numbers (`tableOfSixteen`).
  case iq4NL = "IQ4_NL"
  case iq4XS = "IQ4_XS"

  /// The number of elements of a block.
  public var elementCount: Int {
    switch self {
    case .q40, .q41, .q50, .q51, .q80, .iq4NL: 32
    case .q2K, .q3K, .q4K, .q5K, .q6K, .iq4XS: 256
    }
  }

  /// The size of a block in bytes.
  public var byteCount: Int {
    switch self {
    case .q40: 18
    case .q41: 20
    case .q50: 22
    case .q51: 24
    case .q80: 34
    case .q2K: 84
    case .q3K: 110
    case .q4K: 144
    case .q5K: 176
    case .q6K: 210
    case .iq4NL: 18
    case .iq4XS: 136
    }
  }

  public var description: String { rawValue }

  /// The numbers of one block, element by element.
  /// - Precondition: the block has `byteCount` bytes.
  public func values(ofBlock block: UnsafeRawBufferPointer) -> [Float] {
    precondition(block.count == byteCount, "\(self): a block has \(byteCount) bytes, found \(block.count)")
    func half(_ offset: Int) -> Float {
      Float(Float16(bitPattern: UInt16(block[offset]) | UInt16(block[offset + 1]) << 8))
    }
    func bit(_ index: Int, from offset: Int) -> Int { Int(block[offset + index / 8] >> (index % 8)) & 1 }
    /// 32 elements as 16 bytes: the lower halves, then the upper ones.
    func nibble(_ index: Int, from offset: Int) -> Int {
      Int(index < 16 ? block[offset + index] & 15 : block[offset + index - 16] >> 4)
    }
    /// Elements 64 by 64 as 32 bytes each: the lower halves, then the upper ones.
    func wideNibble(_ index: Int, from offset: Int) -> Int {
      let byte = block[offset + index / 64 * 32 + index % 32]
      return Int(index % 64 < 32 ? byte & 15 : byte >> 4)
    }
    /// Elements 128 by 128 as 32 bytes each: 32 elements after the other in two more bits of them.
    func pair(_ index: Int, from offset: Int) -> Int {
      Int(block[offset + index / 128 * 32 + index % 32] >> (index % 128 / 32 * 2)) & 3
    }
    return (0..<elementCount).map { index in
      switch self {
      case .q80: return half(0) * Float(Int8(bitPattern: block[2 + index]))
      case .q40: return half(0) * Float(nibble(index, from: 2) - 8)
      case .q41: return half(0) * Float(nibble(index, from: 4)) + half(2)
      case .q50: return half(0) * Float(nibble(index, from: 6) + 16 * bit(index, from: 2) - 16)
      case .q51: return half(0) * Float(nibble(index, from: 8) + 16 * bit(index, from: 4)) + half(2)
      case .q2K:
        let both = block[index / 16]
        return half(80) * Float(both & 15) * Float(pair(index, from: 16)) - half(82) * Float(both >> 4)
      case .q3K:
        let high = Int(block[index % 32] >> (index / 32)) & 1
        let scale = BlockFormat.scale(index / 16, packed: block, from: 96)
        return half(108) * Float(scale) * Float(pair(index, from: 32) + 4 * high - 4)
      case .iq4NL: return half(0) * BlockFormat.tableOfSixteen[nibble(index, from: 2)]
      case .iq4XS:
        let part = index / 32
        let low = Int(block[4 + part / 2] >> (part % 2 * 4)) & 15
        let high = Int(UInt16(block[2]) | UInt16(block[3]) << 8) >> (2 * part) & 3
        let number = BlockFormat.tableOfSixteen[nibble(index % 32, from: 8 + 16 * part)]
        return half(0) * Float(low + 16 * high - 32) * number
      case .q4K, .q5K:
        let (scale, minimum) = BlockFormat.scaleAndMinimum(index / 32, packed: block, from: 4)
        let high = self == .q5K ? Int(block[16 + index % 32] >> (index / 32)) & 1 : 0
        let number = wideNibble(index, from: self == .q5K ? 48 : 16) + 16 * high
        return half(0) * Float(scale) * Float(number) - half(2) * Float(minimum)
      case .q6K:
        let (part, place) = (index / 128, index % 128)
        let low = block[part * 64 + place % 64]
        let high = Int(block[128 + part * 32 + place % 32] >> (place / 32 * 2)) & 3
        let number = Int(place < 64 ? low & 15 : low >> 4) + 16 * high - 32
        return half(208) * Float(Int8(bitPattern: block[192 + index / 16])) * Float(number)
      }
    }
  }

  /// The factor and the subtrahend of the `index`-th 32 of 256 elements: 6 bits each, packed into 12 bytes.
  @inlinable
  public static func scaleAndMinimum(
    _ index: Int, packed bytes: UnsafeRawBufferPointer, from offset: Int
  ) -> (scale: UInt8, minimum: UInt8) {
    if index < 4 { return (bytes[offset + index] & 63, bytes[offset + index + 4] & 63) }
    let both = bytes[offset + index + 4]
    return (both & 15 | (bytes[offset + index - 4] >> 6) << 4, both >> 4 | (bytes[offset + index] >> 6) << 4)
  }

  /// The factor of the `index`-th 16 of 256 elements, from -32 to 31: 6 bits each, packed into 12 bytes, the upper two
  /// in the last four.
  @inlinable
  public static func scale(_ index: Int, packed bytes: UnsafeRawBufferPointer, from offset: Int) -> Int32 {
    let low = bytes[offset + index % 8] >> (index / 8 * 4) & 15
    let high = bytes[offset + 8 + index % 4] >> (index / 4 * 2) & 3
    return Int32(low | high << 4) - 32
  }

  /// What 4-bit places stand for in the formats of unevenly spaced numbers: closer together around zero.
  public static let tableOfSixteen: [Float] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
  ]
}
