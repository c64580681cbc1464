#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// PyTorch's CPU random generator: what `torch.Generator().manual_seed(seed)` gives, so that a seed means the same
/// noise here and there. Words and uniforms are equal bit for bit; normals to within 1e-6, the rounding of the
/// elementary functions. Draws follow each other in one stream, as with one generator object in PyTorch.
public struct TorchGenerator: Sendable {
  private static let blockCount = 16

  private var engine: MersenneTwister
  /// The second normal of a pair, kept for the next draw of fewer than 16; block draws neither use nor drop it.
  private var cachedNormal: Double?

  /// Starts the stream of a seed. PyTorch's CPU generator uses the low 32 bits and ignores the others. A negative
  /// Python seed is the `UInt64(bitPattern:)` of it.
  public init(seed: UInt64) {
    engine = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
  }

  /// The next 32 bits.
  public mutating func random32() -> UInt32 { engine.random32() }

  /// The next 64 bits: the first word drawn is the upper half.
  public mutating func random64() -> UInt64 {
    let upper = UInt64(engine.random32())
    return upper << 32 | UInt64(engine.random32())
  }

  /// The same numbers as `torch.rand(count)` in float32: multiples of 2⁻²⁴ in 0..<1.
  public mutating func uniforms(count: Int) -> [Float] {
    precondition(count >= 0, "uniforms: count \(count) is negative")
    return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      fillUniforms(buffer)
      initialized = count
    }
  }

  /// The same numbers as `torch.randn(shape)` in float32, a dense host tensor.
  public mutating func normals(shape: Shape) -> Tensor {
    let result = Tensor(uninitialized: shape, .float32)
    let start = result.mutableHostPointer.bindMemory(to: Float.self, capacity: max(shape.count, 1))
    let values = UnsafeMutableBufferPointer(start: start, count: shape.count)
    if values.count < TorchGenerator.blockCount {
      for index in values.indices { values[index] = Float(nextNormal()) }
    } else {
      fillNormals(values)
    }
    return result
  }

  private mutating func fillUniforms(_ values: UnsafeMutableBufferPointer<Float>) {
    engine.forEachRandom32(count: values.count) { index, word in
      values[index] = Float(Int32(truncatingIfNeeded: word & 0xFF_FFFF)) * 0x1p-24
    }
  }

  /// A uniform number of double precision: 53 of 64 bits.
  private mutating func nextDouble() -> Double { Double(random64() & (1 << 53 - 1)) * 0x1p-53 }

  /// One normal number of double precision; numbers are made in pairs.
  private mutating func nextNormal() -> Double {
    if let cached = cachedNormal {
      cachedNormal = nil
      return cached
    }
    let angle = 2 * Double.pi * nextDouble()
    let radius = (-2 * log1p(-nextDouble())).squareRoot()
    cachedNormal = radius * sin(angle)
    return radius * cos(angle)
  }

  /// Uniforms first, over the whole buffer; then each block of 16 in place. Where the count is not a multiple of
  /// 16, the last 16 values (some of them normals already) are drawn anew from 16 further uniforms.
  private mutating func fillNormals(_ values: UnsafeMutableBufferPointer<Float>) {
    let block = TorchGenerator.blockCount
    fillUniforms(values)
    for start in stride(from: 0, through: values.count - block, by: block) {
      TorchGenerator.transformBlock(UnsafeMutableBufferPointer(rebasing: values[start..<start + block]))
    }
    if values.count % block != 0 {
      let tail = UnsafeMutableBufferPointer(rebasing: values[(values.count - block)...])
      fillUniforms(tail)
      TorchGenerator.transformBlock(tail)
    }
  }

  /// Box and Muller's transformation of 16 uniforms: the first eight give radii, the others angles; cosines go to
  /// the first eight places, sines to the others. The angle is rounded to `Float` as PyTorch's is: its rounding error
  /// is larger than the tolerance.
  private static func transformBlock(_ values: UnsafeMutableBufferPointer<Float>) {
    for index in 0..<8 {
      let radius = (-2 * logf(1 - values[index])).squareRoot()
      let angle = Float(2 * Double.pi) * values[index + 8]
      values[index] = radius * cosf(angle)
      values[index + 8] = radius * sinf(angle)
    }
  }
}
