/// Decoding of the 8-bit floating-point formats that checkpoints are published in.
public enum Float8 {
  /// The value of an e4m3fn byte: 4 exponent bits with bias 7, no infinities, NaN at 0x7F and 0xFF.
  public static func e4m3(_ byte: UInt8) -> Float {
    let exponent = Int(byte >> 3) & 0xF
    let mantissa = Float(byte & 7)
    if byte & 0x7F == 0x7F { return .nan }
    let sign: Float = byte & 0x80 == 0 ? 1 : -1
    if exponent == 0 { return sign * mantissa * 0x1p-9 }
    return sign * (1 + mantissa / 8) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
  }

  /// The value of an e5m2 byte: the upper half of an IEEE half-precision number.
  public static func e5m2(_ byte: UInt8) -> Float { Float(Float16(bitPattern: UInt16(byte) << 8)) }

  /// All 256 values of e4m3, indexed by byte.
  public static let e4m3Values: [Float] = (0...255).map { e4m3(UInt8($0)) }

  /// All 256 values of e5m2, indexed by byte.
  public static let e5m2Values: [Float] = (0...255).map { e5m2(UInt8($0)) }
}

extension Float8 {
  /// The e4m3fn byte nearest to a number, ties to even; beyond ±448 the largest, NaN for NaN.
  public static func e4m3(rounding number: Float) -> UInt8 {
    let sign: UInt8 = number.sign == .minus ? 0x80 : 0
    let magnitude = number.magnitude
    if magnitude.isNaN { return sign | 0x7F }
    if magnitude >= 448 { return sign | 0x7E }
    if magnitude < 0x1p-6 {
      // Multiples of 2^-9; eight of them are the first normal number, whose byte follows.
      return sign | UInt8((magnitude * 0x1p9).rounded(.toNearestOrEven))
    }
    // Three mantissa bits remain of 23: adding half of what is cut off, less one for even results, rounds to nearest.
    let bits = magnitude.bitPattern
    let rounded = (bits + 0x7FFFF + (bits >> 20 & 1)) >> 20
    return sign | UInt8(rounded - (120 << 3))
  }
}
