import TensorCore

// The transforms of F(2 x 2, 3 x 3): with pixels d, a kernel g and results y along one axis,
//
//   y₀ = m₀ + m₁ + m₂   m₀ = (d₀ - d₂) g₀            m₂ = (d₂ - d₁) (g₀ - g₁ + g₂) / 2
//   y₁ = m₁ - m₂ - m₃   m₁ = (d₁ + d₂) (g₀ + g₁ + g₂) / 2   m₃ = (d₁ - d₃) g₂
//
// and both axes one after the other. Channels are innermost; their number is a multiple of eight.

/// The pixels of a block, transformed for one row of positions.
struct WinogradInput {
  let extents: WinogradExtents
  /// `[frames, windowRows, windowColumns, C]`
  let window: UnsafePointer<Float>
  let frames: Int

  /// Writes the four positions of a row, each `[frames, tiles, C]`.
  /// - Parameter stride: the distance of two positions.
  func transform(row: Int, to target: UnsafeMutablePointer<Float>, stride: Int) {
    let (first, second, sign): (Int, Int, Float) =
      switch row {
      case 0: (0, 2, -1)
      case 1: (1, 2, 1)
      case 2: (2, 1, -1)
      default: (1, 3, -1)
      }
    let channels = extents.channels
    let line = extents.windowColumns * channels
    var write = target
    for frame in 0..<frames {
      for tileRow in 0..<extents.tileRows {
        let top = window + (frame * extents.windowRows + 2 * tileRow) * line
        for tileColumn in 0..<extents.tileColumns {
          let start = 2 * tileColumn * channels
          tile(top + first * line + start, top + second * line + start, sign, to: write, stride: stride)
          write += channels
        }
      }
    }
  }

  /// One tile, from four pixels of each of two rows.
  @inline(__always)
  private func tile(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ sign: Float, to target: UnsafeMutablePointer<Float>,
    stride: Int
  ) {
    let channels = extents.channels
    let sign = Vector(repeating: sign)
    var (a, b, target) = (a, b, target)
    for _ in 0..<channels / Vector.scalarCount {
      let d0 = Vector(a).addingProduct(sign, Vector(b))
      let d1 = Vector(a + channels).addingProduct(sign, Vector(b + channels))
      let d2 = Vector(a + 2 * channels).addingProduct(sign, Vector(b + 2 * channels))
      let d3 = Vector(a + 3 * channels).addingProduct(sign, Vector(b + 3 * channels))
      (d0 - d2).store(to: target)
      (d1 + d2).store(to: target + stride)
      (d2 - d1).store(to: target + 2 * stride)
      (d1 - d3).store(to: target + 3 * stride)
      a += Vector.scalarCount
      b += Vector.scalarCount
      target += Vector.scalarCount
    }
  }
}

/// What the products of a row of positions add to the pixels of a tile.
enum WinogradOutput {
  /// The columns: the four products of some channels become those of the left and of the right pixels, in their places.
  static func combine(
    _ count: Int, _ products: UnsafeMutablePointer<Float>, stride: Int, right: UnsafeMutablePointer<Float>
  ) {
    for index in Swift.stride(from: 0, to: count, by: Vector.scalarCount) {
      let place = products + index
      let (m1, m2) = (Vector(place + stride), Vector(place + 2 * stride))
      let left = Vector(place) + m1 + m2
      (m1 - m2 - Vector(place + 3 * stride)).store(to: right + index)
      left.store(to: place)
    }
  }

  /// The rows: adds to, or begins, the pixels of the upper (0) or lower (1) row.
  /// - Parameter residual: what a pixel begins with.
  static func add(
    _ count: Int, _ part: UnsafePointer<Float>, position: Int, line: Int, residual: UnsafePointer<Float>?,
    to pixel: UnsafeMutablePointer<Float>
  ) {
    if position == line {
      if let residual {
        mapVectors(count, part, residual, to: pixel) { $0 + $1 }
      } else {
        pixel.update(from: part, count: count)
      }
    } else if line == 1 {
      mapVectors(count, UnsafePointer(pixel), part, to: pixel) { $0 - $1 }
    } else {
      mapVectors(count, UnsafePointer(pixel), part, to: pixel) { $0 + $1 }
    }
  }

  /// Whether a row of positions adds to the upper (0) or lower (1) row of pixels.
  static func reaches(position: Int, line: Int) -> Bool { position >= line && position <= line + 2 }

  @inline(__always)
  private static func mapVectors(
    _ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>,
    _ f: (Vector, Vector) -> Vector
  ) {
    for index in stride(from: 0, to: count, by: Vector.scalarCount) {
      f(Vector(x + index), Vector(y + index)).store(to: target + index)
    }
  }
}

/// A kernel's rows and columns, transformed.
enum WinogradKernel {
  /// Turns `count` kernels of 3 x 3 elements, a multiple of eight, into 16 elements each, which are written `stride` elements apart.
  static func transform(
    _ kernels: UnsafePointer<Float>, count: Int, to target: UnsafeMutablePointer<Float>, stride: Int
  ) {
    for first in Swift.stride(from: 0, to: count, by: Vector.scalarCount) {
      let g = kernels + 9 * first
      let place = target + first
      for column in 0..<4 {
        let (a, b, c) = (
          element(column, each(g), each(g + 1), each(g + 2)), element(column, each(g + 3), each(g + 4), each(g + 5)),
          element(column, each(g + 6), each(g + 7), each(g + 8))
        )
        for line in 0..<4 { element(line, a, b, c).store(to: place + (4 * line + column) * stride) }
      }
    }
  }

  /// One element of each of eight kernels.
  @inline(__always)
  private static func each(_ g: UnsafePointer<Float>) -> Vector {
    Vector(g[0], g[9], g[18], g[27], g[36], g[45], g[54], g[63])
  }

  @inline(__always)
  private static func element(_ position: Int, _ a: Vector, _ b: Vector, _ c: Vector) -> Vector {
    switch position {
    case 0: a
    case 1: 0.5 * (a + b + c)
    case 2: 0.5 * (a - b + c)
    default: c
    }
  }
}
