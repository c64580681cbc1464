import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite struct ReferenceElementwiseTests {
  let backend = ReferenceBackend()
  let x = Tensor([1, 2, 3, 4] as [Float], shape: [2, 1, 2])
  let y = Tensor([10, 20, 30, 40] as [Float], shape: [2, 1, 2])

  @Test func `the gate of a residual belongs to the batch item and channel and applies to the second`() throws {
    let gate = Tensor([0, 1, 2, -1] as [Float], shape: [2, 2])
    #expect(try backend.residual(x, gate: gate, y).floats() == [1, 22, 63, -36])
    #expect(try backend.residual(x, gate: nil, y).floats() == [11, 22, 33, 44])
  }

  @Test func `the gated unit activates the gate alone`() throws {
    let ones = Tensor(repeating: 1, shape: x.shape)
    let expected = x.floats().map { Float(0.731_058_578_63) * $0 }
    expectClose(
      try backend.gatedSiLU(gate: ones, x), Tensor(expected, shape: x.shape), relative: 1e-7, "gated unit")
  }

  @Test func `a combination weighs both`() throws {
    #expect(try backend.combination(2, x, -0.5, y).floats() == [-3, -6, -9, -12])
  }

  @Test func `contiguous copies what has gaps and keeps what has none`() throws {
    let transposed = Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3]).permuted([1, 0])
    let dense = try backend.contiguous(transposed)
    #expect(dense.isContiguous)
    #expect(dense.floats() == [1, 4, 2, 5, 3, 6])
    #expect(try backend.contiguous(dense).hostPointer == dense.hostPointer)
  }

  @Test func `joining along an axis interleaves the blocks outside it`() throws {
    let a = Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
    let b = Tensor([5, 6] as [Float], shape: [2, 1])
    #expect(try backend.concatenate([a, b], axis: 1).floats() == [1, 2, 5, 3, 4, 6])
    #expect(try backend.concatenate([a, a], axis: 0).shape == [4, 2])
    #expect(try backend.concatenate([b.permuted([1, 0]), a], axis: 0).floats() == [5, 6, 1, 2, 3, 4])
  }

  @Test func `the mean over tokens leaves batch items and channels`() throws {
    let tokens = Tensor([1, 2, 3, 6, 5, 5, 7, 7] as [Float], shape: [2, 2, 2])
    let mean = try backend.meanOverTokens(tokens)
    #expect(mean.shape == [2, 2])
    #expect(mean.floats() == [2, 4, 6, 6])
  }

  @Test func `absolute sums add distances`() throws {
    let z = Tensor([-1, 2, -3, 4] as [Float], shape: [2, 1, 2])
    #expect(try backend.absoluteSum(z, minus: nil) == 10)
    #expect(try backend.absoluteSum(z, minus: x) == 8)
  }

  @Test(arguments: [(Float.nan, false), (.infinity, false), (-.infinity, false), (0, true)])
  func `one bad element makes a tensor not finite`(_ value: Float, _ isFinite: Bool) throws {
    let tensor = Tensor([1, 2, value, 4], shape: [2, 2])
    #expect(try backend.isFinite(tensor) == isFinite)
    #expect(try backend.isFinite(tensor.slice(1, 1..<2)))
  }
}
