// Loops over single elements, which the compiler makes vector instructions of, for whatever width the processor has.
// Long expressions of SIMD types it takes apart into lanes instead: five times slower (docs/speed.md).

/// `y[i] = f(x[i])`. The places must not overlap.
@inline(__always)
func mapElements(
  _ count: Int, _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ f: (Float) -> Float
) {
  for index in 0..<count { y[index] = f(x[index]) }
}

/// `y[i] = f(y[i])`
@inline(__always)
func mapElements(_ count: Int, of y: UnsafeMutablePointer<Float>, _ f: (Float) -> Float) {
  for index in 0..<count { y[index] = f(y[index]) }
}

/// `result[i] = f(x[i], y[i])`. The result must not overlap the others.
@inline(__always)
func mapElements(
  _ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, to result: UnsafeMutablePointer<Float>,
  _ f: (Float, Float) -> Float
) {
  for index in 0..<count { result[index] = f(x[index], y[index]) }
}

/// `y[i] = f(y[i], x[i])`. The places must not overlap.
@inline(__always)
func mapElements(
  _ count: Int, of y: UnsafeMutablePointer<Float>, with x: UnsafePointer<Float>, _ f: (Float, Float) -> Float
) {
  for index in 0..<count { y[index] = f(y[index], x[index]) }
}

/// `y[i] = f(y[i], x[i], z[i])`. The places must not overlap.
@inline(__always)
func mapElements(
  _ count: Int, of y: UnsafeMutablePointer<Float>, with x: UnsafePointer<Float>, _ z: UnsafePointer<Float>,
  _ f: (Float, Float, Float) -> Float
) {
  for index in 0..<count { y[index] = f(y[index], x[index], z[index]) }
}

extension Float {
  /// `eˣ` to 2 units in the last place. Below -87 it is about 1e-38 instead of smaller, above 88 about 2e38.
  @inline(__always)
  var exponential: Float {
    var x = self < -87 ? -87 : self
    x = x > 88 ? 88 : x
    // Adding 1.5 · 2²³ leaves the nearest integer in the low bits.
    let shift: Float = 12_582_912
    let shifted = shift.addingProduct(x, 1.442_695_04)
    let integer = shifted - shift
    var rest = x.addingProduct(integer, -0.693_145_752)
    rest = rest.addingProduct(integer, -1.428_606_77e-6)
    var power = Float(1.388_888_9e-3).addingProduct(rest, 1.984_127e-4)
    power = Float(8.333_333_3e-3).addingProduct(rest, power)
    power = Float(4.166_666_7e-2).addingProduct(rest, power)
    power = Float(0.166_666_667).addingProduct(rest, power)
    power = Float(0.5).addingProduct(rest, power)
    power = Float(1).addingProduct(rest, power)
    power = Float(1).addingProduct(rest, power)
    // (n + 127) · 2²³ are the bits of 2ⁿ.
    return power * Float(bitPattern: (shifted.bitPattern &+ 127 &- shift.bitPattern) &<< 23)
  }

  /// `2ˣ` for `x` up to 127, to 2 units in the last place. Below -126 it is about 1e-38 instead of smaller.
  @inline(__always)
  var powerOfTwo: Float {
    let x = self < -126 ? -126 : self
    let shift: Float = 12_582_912
    let shifted = x + shift
    let rest = x - (shifted - shift)
    var power = Float(1.333_355_8e-3).addingProduct(rest, 1.540_353e-4)
    power = Float(9.618_129_1e-3).addingProduct(rest, power)
    power = Float(5.550_410_9e-2).addingProduct(rest, power)
    power = Float(0.240_226_51).addingProduct(rest, power)
    power = Float(0.693_147_18).addingProduct(rest, power)
    power = Float(1).addingProduct(rest, power)
    return power * Float(bitPattern: (shifted.bitPattern &+ 127 &- shift.bitPattern) &<< 23)
  }
}
