import TensorCore

/// A type that weights are stored in: how a stored element becomes float32. Simple enough for the compiler to make
/// vector instructions of a loop. Addresses need no alignment.
protocol StoredNumber {
  static var byteCount: Int { get }
  static func number(at address: UnsafeRawPointer) -> Float
}

enum StoredFloat32: StoredNumber {
  static let byteCount = 4

  @inline(__always)
  static func number(at address: UnsafeRawPointer) -> Float { address.loadUnaligned(as: Float.self) }
}

enum StoredFloat64: StoredNumber {
  static let byteCount = 8

  @inline(__always)
  static func number(at address: UnsafeRawPointer) -> Float { Float(address.loadUnaligned(as: Double.self)) }
}

enum StoredFloat16: StoredNumber {
  static let byteCount = 2

  @inline(__always)
  static func number(at address: UnsafeRawPointer) -> Float {
    Float(Float16(bitPattern: address.loadUnaligned(as: UInt16.self)))
  }
}

enum StoredBFloat16: StoredNumber {
  static let byteCount = 2

  @inline(__always)
  static func number(at address: UnsafeRawPointer) -> Float {
    Float(BFloat16(bitPattern: address.loadUnaligned(as: UInt16.self)))
  }
}

/// e4m3 is read as a half-precision number with the same digits, which is 256 times too small: its exponent has
/// another bias. Subnormal numbers come out right as well; the NaN would be 480.
enum StoredFloat8E4M3: StoredNumber {
  static let byteCount = 1

  @inline(__always)
  static func number(at address: UnsafeRawPointer) -> Float {
    let byte = UInt16(address.load(as: UInt8.self))
    let value = Float(Float16(bitPattern: (byte & 0x80) &<< 8 | (byte & 0x7F) &<< 7)) * 256
    return value.magnitude > 448 ? .nan : value
  }
}

enum StoredFloat8E5M2: StoredNumber {
  static let byteCount = 1

  @inline(__always)
  static func number(at address: UnsafeRawPointer) -> Float {
    Float(Float16(bitPattern: UInt16(address.load(as: UInt8.self)) &<< 8))
  }
}

enum StoredInt8: StoredNumber {
  static let byteCount = 1

  @inline(__always)
  static func number(at address: UnsafeRawPointer) -> Float { Float(address.load(as: Int8.self)) }
}
