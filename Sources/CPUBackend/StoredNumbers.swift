import TensorCore

/// A type that weights are stored in: how eight stored elements, or one, become float32. Addresses need no alignment.
protocol StoredNumber {
  static var byteCount: Int { get }
  static func vector(at address: UnsafeRawPointer) -> Vector
  static func scalar(at address: UnsafeRawPointer) -> Float
}

enum StoredFloat32: StoredNumber {
  static let byteCount = 4

  @inline(__always)
  static func vector(at address: UnsafeRawPointer) -> Vector { address.loadUnaligned(as: Vector.self) }

  @inline(__always)
  static func scalar(at address: UnsafeRawPointer) -> Float { address.loadUnaligned(as: Float.self) }
}

enum StoredFloat64: StoredNumber {
  static let byteCount = 8

  @inline(__always)
  static func vector(at address: UnsafeRawPointer) -> Vector {
    var vector = Vector.zero
    for lane in 0..<8 { vector[lane] = scalar(at: address + 8 * lane) }
    return vector
  }

  @inline(__always)
  static func scalar(at address: UnsafeRawPointer) -> Float { Float(address.loadUnaligned(as: Double.self)) }
}

enum StoredFloat16: StoredNumber {
  static let byteCount = 2

  @inline(__always)
  static func vector(at address: UnsafeRawPointer) -> Vector {
    Vector(address.loadUnaligned(as: SIMD8<Float16>.self))
  }

  @inline(__always)
  static func scalar(at address: UnsafeRawPointer) -> Float {
    Float(Float16(bitPattern: address.loadUnaligned(as: UInt16.self)))
  }
}

enum StoredBFloat16: StoredNumber {
  static let byteCount = 2

  @inline(__always)
  static func vector(at address: UnsafeRawPointer) -> Vector {
    let bits = SIMD8<UInt32>(truncatingIfNeeded: address.loadUnaligned(as: SIMD8<UInt16>.self))
    return unsafeBitCast(bits &<< SIMD8(repeating: 16), to: Vector.self)
  }

  @inline(__always)
  static func scalar(at address: UnsafeRawPointer) -> Float {
    Float(BFloat16(bitPattern: address.loadUnaligned(as: UInt16.self)))
  }
}

/// e4m3 is read as a half-precision number with the same digits, which is 256 times too small: its exponent has
/// another bias. Subnormal numbers come out right as well.
enum StoredFloat8E4M3: StoredNumber {
  static let byteCount = 1

  @inline(__always)
  static func vector(at address: UnsafeRawPointer) -> Vector {
    let bytes = SIMD8<UInt16>(truncatingIfNeeded: address.loadUnaligned(as: SIMD8<UInt8>.self))
    let sign = (bytes & SIMD8(repeating: 0x80)) &<< SIMD8(repeating: 8)
    let digits = (bytes & SIMD8(repeating: 0x7F)) &<< SIMD8(repeating: 7)
    let values = Vector(unsafeBitCast(sign | digits, to: SIMD8<Float16>.self)) * Vector(repeating: 256)
    return values.replacing(with: Vector(repeating: .nan), where: values.magnitudes .> Vector(repeating: 448))
  }

  @inline(__always)
  static func scalar(at address: UnsafeRawPointer) -> Float { Float8.e4m3(address.load(as: UInt8.self)) }
}

enum StoredFloat8E5M2: StoredNumber {
  static let byteCount = 1

  @inline(__always)
  static func vector(at address: UnsafeRawPointer) -> Vector {
    let bytes = SIMD8<UInt16>(truncatingIfNeeded: address.loadUnaligned(as: SIMD8<UInt8>.self))
    return Vector(unsafeBitCast(bytes &<< SIMD8(repeating: 8), to: SIMD8<Float16>.self))
  }

  @inline(__always)
  static func scalar(at address: UnsafeRawPointer) -> Float { Float8.e5m2(address.load(as: UInt8.self)) }
}

/// The number 1.5 · 2²³ + n has n in its low bits: integers become floats by an addition.
enum StoredInt8: StoredNumber {
  static let byteCount = 1

  @inline(__always)
  static func vector(at address: UnsafeRawPointer) -> Vector {
    let shift = Vector(repeating: 12_582_912)
    let numbers = SIMD8<Int32>(truncatingIfNeeded: address.loadUnaligned(as: SIMD8<Int8>.self))
    return unsafeBitCast(numbers &+ unsafeBitCast(shift, to: SIMD8<Int32>.self), to: Vector.self) - shift
  }

  @inline(__always)
  static func scalar(at address: UnsafeRawPointer) -> Float { Float(address.load(as: Int8.self)) }
}
