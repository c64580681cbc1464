import TensorCore
import TensorTesting
import Testing

/// The stream against PyTorch 2.13's CPU generator.
@Suite struct TorchGeneratorTests {
  private static let seeds: [UInt64] = [0, 42, 1 << 32 + 5]

  private func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
  }

  @Test(arguments: seeds)
  func `words and uniforms equal PyTorch's bit for bit`(seed: UInt64) throws {
    let goldens = try Goldens.tensors("random/normals.safetensors")
    let words = try goldens.tensor("seed\(seed).bits").integers()
    var generator = TorchGenerator(seed: seed)
    #expect(words.map { _ in Int(generator.random32()) } == words)

    let uniforms = try goldens.tensor("seed\(seed).uniforms").floats()
    generator = TorchGenerator(seed: seed)
    #expect(generator.uniforms(count: uniforms.count) == uniforms)
  }

  /// Every seed at the sizes around a block of 16, and seed 42 at larger ones too.
  static let draws =
    seeds.flatMap { seed in [1, 15, 16, 17].map { (seed, $0) } } + [512, 70_001].map { (UInt64(42), $0) }

  @Test(arguments: draws)
  func `normals equal PyTorch's within a millionth`(draw: (seed: UInt64, count: Int)) throws {
    let (seed, count) = draw
    let goldens = try Goldens.tensors("random/normals.safetensors")
    let name = "seed\(seed).normals.\(count)"
    var generator = TorchGenerator(seed: seed)
    let normals = generator.normals(shape: [count])
    #expect(normals.shape == [count] && normals.isContiguous)
    #expect(largestDifference(normals.floats(), try goldens.tensor(name).floats()) <= 1e-6)
  }

  @Test(arguments: seeds, [[3, 2], [16, 5], [17, 40]])
  func `consecutive draws continue PyTorch's stream`(seed: UInt64, counts: [Int]) throws {
    let goldens = try Goldens.tensors("random/normals.safetensors")
    var generator = TorchGenerator(seed: seed)
    for (index, count) in counts.enumerated() {
      let expected = try goldens.tensor("seed\(seed).consecutive.\(counts[0])_\(counts[1]).\(index)")
      #expect(largestDifference(generator.normals(shape: [count]).floats(), expected.floats()) <= 1e-6)
    }
  }

  @Test func `the second normal of a pair outlives block draws and uniforms`() {
    var generator = TorchGenerator(seed: 7)
    #expect(largestDifference(generator.normals(shape: [1]).floats(), [-0.14679509]) <= 1e-6)
    let block = generator.normals(shape: [2, 8]).floats()
    #expect(largestDifference(Array(block[..<2]), [-0.16699602, 0.28514996]) <= 1e-6)
    #expect(largestDifference(generator.normals(shape: [1]).floats(), [0.78614128]) <= 1e-6)
    #expect(generator.uniforms(count: 1) == [0.8828775882720947])
    #expect(largestDifference(generator.normals(shape: []).floats(), [-0.43621194]) <= 1e-6)
  }

  @Test func `a tail redraws the last sixteen values`() {
    var generator = TorchGenerator(seed: 42)
    let block = generator.normals(shape: [16]).floats()
    generator = TorchGenerator(seed: 42)
    let withTail = generator.normals(shape: [17]).floats()
    #expect(withTail[0] == block[0] && withTail[1] != block[1])
    #expect(largestDifference(Array(withTail[1..<3]), [-0.15959747, -0.49739754]) <= 1e-6)
    // 17 uniforms and 16 more were used.
    var words = TorchGenerator(seed: 42)
    for _ in 0..<33 { _ = words.random32() }
    #expect(generator.random32() == words.random32())
  }

  @Test(
    arguments: [
      (0, [1.5409961, -0.2934289]), (1 << 63, [1.5409961, -0.2934289]),
      (UInt64(UInt32.max), [1.219763, -0.39297947]), (UInt64.max, [1.219763, -0.39297947]),
    ] as [(UInt64, [Float])])
  func `only the low 32 bits of a seed count`(seed: UInt64, expected: [Float]) {
    var generator = TorchGenerator(seed: seed)
    #expect(largestDifference(generator.normals(shape: [2]).floats(), expected) <= 1e-6)
  }

  @Test func `the first of two words is the upper half of 64 bits`() {
    var generator = TorchGenerator(seed: 42)
    #expect(generator.random64() == 6_909_045_637_428_952_499)
    #expect(generator.random64() == UInt64(bitPattern: -909_160_480_315_697_906))
  }

  @Test func `drawing nothing leaves the stream where it is`() {
    var generator = TorchGenerator(seed: 1)
    #expect(generator.normals(shape: [0, 4]).count == 0 && generator.uniforms(count: 0).isEmpty)
    var fresh = TorchGenerator(seed: 1)
    #expect(generator.random32() == fresh.random32())
  }
}
