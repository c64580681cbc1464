import BackendConformance
import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite struct ReferenceConvolutionTests {
  let backend = ReferenceBackend()

  /// A kernel of one channel that is one at a single place.
  private func delta(_ t: Int, _ y: Int, _ x: Int, kernel k: Int = 3) -> Weight {
    var values = [Float](repeating: 0, count: k * k * k)
    values[(t * k + y) * k + x] = 1
    return Weight(name: "delta", tensor: Tensor(values, shape: [1, 1, k, k, k]))
  }

  private func convolve(
    _ x: Tensor, _ weight: Weight, _ upsampling: Upsampling = .none, residual: Tensor? = nil
  ) throws -> Tensor {
    try backend.causalConvolution(x, weight: weight, bias: nil, upsampling: upsampling, residual: residual)
  }

  @Test func `a kernel that looks back sees the first frame before the start`() throws {
    let x = Tensor([1, 2, 3, 4] as [Float], shape: [1, 1, 4, 1, 1])
    #expect(try convolve(x, delta(0, 1, 1)).floats() == [1, 1, 1, 2])
    #expect(try convolve(x, delta(1, 1, 1)).floats() == [1, 1, 2, 3])
    #expect(try convolve(x, delta(2, 1, 1)).floats() == [1, 2, 3, 4])
  }

  @Test func `rows and columns are replicated on both sides`() throws {
    let x = Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [1, 1, 1, 2, 3])
    #expect(try convolve(x, delta(2, 0, 1)).floats() == [1, 2, 3, 1, 2, 3])
    #expect(try convolve(x, delta(2, 2, 1)).floats() == [4, 5, 6, 4, 5, 6])
    #expect(try convolve(x, delta(2, 1, 0)).floats() == [1, 1, 2, 4, 4, 5])
    #expect(try convolve(x, delta(2, 1, 2)).floats() == [2, 3, 3, 5, 6, 6])
  }

  @Test func `upsampling keeps the first frame single`() throws {
    let x = Tensor([1, 2, 3] as [Float], shape: [1, 1, 3, 1, 1])
    let y = try convolve(x, delta(0, 0, 0, kernel: 1), Upsampling(time: 2, space: 1))
    #expect(y.shape == [1, 1, 5, 1, 1])
    #expect(y.floats() == [1, 2, 2, 3, 3])
    let image = try convolve(x.slice(2, 0..<1), delta(0, 0, 0, kernel: 1), Upsampling(time: 2, space: 2))
    #expect(image.shape == [1, 1, 1, 2, 2])
    #expect(image.floats() == [1, 1, 1, 1])
  }

  @Test func `upsampling repeats rows and columns`() throws {
    let x = Tensor([1, 2, 3, 4] as [Float], shape: [1, 1, 1, 2, 2])
    let y = try convolve(x, delta(0, 0, 0, kernel: 1), Upsampling(time: 1, space: 2))
    #expect(y.floats() == [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
  }

  @Test func `the border is that of the enlarged clip`() throws {
    let x = Tensor([1, 2, 3] as [Float], shape: [1, 1, 3, 1, 1])
    // Enlarged in time to 1, 2, 2, 3, 3; two frames back with the first replicated.
    #expect(try convolve(x, delta(0, 1, 1), Upsampling(time: 2, space: 1)).floats() == [1, 1, 1, 2, 2])
    let row = Tensor([1, 2] as [Float], shape: [1, 1, 1, 1, 2])
    let left = try convolve(row, delta(2, 1, 0), Upsampling(time: 1, space: 2))
    #expect(left.floats() == [1, 1, 1, 2, 1, 1, 1, 2])
  }

  @Test func `channels are summed, the bias and the residual added`() throws {
    let x = Tensor([1, 2, 10, 20] as [Float], shape: [1, 2, 1, 1, 2])
    let weight = Weight(name: "w", tensor: Tensor([1, 1, 3, -1] as [Float], shape: [2, 2, 1, 1, 1]))
    let bias = Weight(name: "b", tensor: Tensor([100, 200] as [Float], shape: [2]))
    let residual = Tensor([0.5, 0.25, 0, 1] as [Float], shape: [1, 2, 1, 1, 2])
    let y = try backend.causalConvolution(
      x, weight: weight, bias: bias, upsampling: .none, residual: residual)
    #expect(y.floats() == [111.5, 122.25, 193, 187])
  }

  @Test func `a convolution is the sum of its shifted inputs`() throws {
    var random = RandomTensors(seed: 3)
    let x = random.tensor([2, 1, 3, 4, 5])
    let factors = random.values(27)
    let weight = Weight(name: "w", tensor: Tensor(factors, shape: [1, 1, 3, 3, 3]))
    var sum = Tensor(repeating: 0, shape: x.shape)
    for index in 0..<27 {
      let shifted = try convolve(x, delta(index / 9, index / 3 % 3, index % 3))
      sum = try backend.combination(1, sum, factors[index], shifted)
    }
    expectClose(try convolve(x, weight), sum, relative: 1e-6, "sum of shifts")
  }
}
