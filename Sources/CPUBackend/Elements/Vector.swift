// Eight floats at a time, for reductions and rotations: one register with AVX2, two with NEON. Functions of
// single elements are plain loops instead (Elements.swift). Only operations that compile to instructions are used:
// `rounded`, `clamped`, `pointwiseMax` and converting initialisers of SIMD types become calls (docs/speed.md).

typealias Vector = SIMD8<Float>

extension SIMD8<Float> {
  @inline(__always)
  init(_ address: UnsafePointer<Float>) {
    self = UnsafeRawPointer(address).loadUnaligned(as: SIMD8<Float>.self)
  }

  /// The first `count < 8` elements at an address, then a filling.
  @inline(__always)
  init(_ address: UnsafePointer<Float>, count: Int, filling: Float = 0) {
    self.init(repeating: filling)
    for lane in 0..<count { self[lane] = address[lane] }
  }

  @inline(__always)
  func store(to address: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(address).storeBytes(of: self, as: SIMD8<Float>.self)
  }

  /// The sum of all lanes.
  @inline(__always)
  var total: Float {
    let four = lowHalf + highHalf
    let two = four.lowHalf + four.highHalf
    return two.x + two.y
  }

  /// The largest lane.
  @inline(__always)
  var largest: Float {
    let four = lowHalf.replacing(with: highHalf, where: highHalf .> lowHalf)
    let two = four.lowHalf.replacing(with: four.highHalf, where: four.highHalf .> four.lowHalf)
    return two.x > two.y ? two.x : two.y
  }

  @inline(__always)
  func larger(of other: SIMD8<Float>) -> SIMD8<Float> { replacing(with: other, where: other .> self) }

  @inline(__always)
  var magnitudes: SIMD8<Float> {
    let digits = SIMD8<UInt32>(repeating: 0x7FFF_FFFF)
    return unsafeBitCast(unsafeBitCast(self, to: SIMD8<UInt32>.self) & digits, to: SIMD8<Float>.self)
  }
}

/// `Σ f(x[i])` in float32 with several accumulators; for the length of a row. `f(0)` has to be 0.
@inline(__always)
func sumVectors(_ count: Int, _ x: UnsafePointer<Float>, _ f: (Vector) -> Vector) -> Float {
  var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
  var index = 0
  while index + 32 <= count {
    a += f(Vector(x + index))
    b += f(Vector(x + index + 8))
    c += f(Vector(x + index + 16))
    d += f(Vector(x + index + 24))
    index += 32
  }
  while index + 8 <= count {
    a += f(Vector(x + index))
    index += 8
  }
  if index < count { b += f(Vector(x + index, count: count - index)) }
  return ((a + b) + (c + d)).total
}

/// `Σ x[i] · y[i]` in float32 with several accumulators.
@inline(__always)
func dotProduct(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>) -> Float {
  var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
  var index = 0
  while index + 32 <= count {
    a = a.addingProduct(Vector(x + index), Vector(y + index))
    b = b.addingProduct(Vector(x + index + 8), Vector(y + index + 8))
    c = c.addingProduct(Vector(x + index + 16), Vector(y + index + 16))
    d = d.addingProduct(Vector(x + index + 24), Vector(y + index + 24))
    index += 32
  }
  while index + 8 <= count {
    a = a.addingProduct(Vector(x + index), Vector(y + index))
    index += 8
  }
  if index < count {
    b = b.addingProduct(Vector(x + index, count: count - index), Vector(y + index, count: count - index))
  }
  return ((a + b) + (c + d)).total
}
