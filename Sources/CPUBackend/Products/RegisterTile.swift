/// A matrix product whose result stays in registers: six rows times sixteen columns are twelve vectors of eight floats, which
/// leaves room for two of the right-hand matrix and one factor among sixteen registers (AVX2; with NEON's registers of half
/// the width there are twice as many).
///
/// The right-hand matrix comes in panels `[inner, 16]`, which a product with many rows reads again and again from the innermost
/// cache. Nothing is packed inside: who multiplies with the same panel often packs it once.
enum RegisterTile {
  static let rows = 6
  static let columns = 16

  /// `count` rounded up to whole tiles.
  static func paddedRows(_ count: Int) -> Int { (count + rows - 1) / rows * rows }
  static func paddedColumns(_ count: Int) -> Int { (count + columns - 1) / columns * columns }

  /// `result = left · panel`, or `result += …` where `adds`, for all rows of the left-hand matrix, a multiple of six.
  @inline(__always)
  static func multiply(
    _ left: UnsafePointer<Float>, rowStride: Int, rows: Int, _ panel: UnsafePointer<Float>, inner: Int,
    adds: Bool = false,
    into result: UnsafeMutablePointer<Float>, resultStride: Int
  ) {
    for row in stride(from: 0, to: rows, by: RegisterTile.rows) {
      tile(left + row * rowStride, rowStride, panel, inner, adds, result + row * resultStride, resultStride)
    }
  }

  /// One tile. Not inlined, so that the compiler gives all registers to the sums.
  @inline(never)
  private static func tile(
    _ left: UnsafePointer<Float>, _ rowStride: Int, _ panel: UnsafePointer<Float>, _ inner: Int, _ adds: Bool,
    _ result: UnsafeMutablePointer<Float>, _ resultStride: Int
  ) {
    var (a0, a1, b0, b1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var (c0, c1, d0, d1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var (e0, e1, f0, f1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var (upper, lower, panel) = (left, left + 3 * rowStride, panel)
    for _ in 0..<inner {
      let (x, y) = (Vector(panel), Vector(panel + 8))
      var factor = Vector(repeating: upper[0])
      a0.addProduct(factor, x)
      a1.addProduct(factor, y)
      factor = Vector(repeating: upper[rowStride])
      b0.addProduct(factor, x)
      b1.addProduct(factor, y)
      factor = Vector(repeating: upper[2 * rowStride])
      c0.addProduct(factor, x)
      c1.addProduct(factor, y)
      factor = Vector(repeating: lower[0])
      d0.addProduct(factor, x)
      d1.addProduct(factor, y)
      factor = Vector(repeating: lower[rowStride])
      e0.addProduct(factor, x)
      e1.addProduct(factor, y)
      factor = Vector(repeating: lower[2 * rowStride])
      f0.addProduct(factor, x)
      f1.addProduct(factor, y)
      upper += 1
      lower += 1
      panel += columns
    }
    var target = result
    @inline(__always)
    func put(_ x: Vector, _ y: Vector) {
      (adds ? Vector(target) + x : x).store(to: target)
      (adds ? Vector(target + 8) + y : y).store(to: target + 8)
      target += resultStride
    }
    put(a0, a1)
    put(b0, b1)
    put(c0, c1)
    put(d0, d1)
    put(e0, e1)
    put(f0, f1)
  }
}
