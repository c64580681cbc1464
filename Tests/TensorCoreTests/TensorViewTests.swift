import BackendConformance
import TensorCore
import TensorTesting
import Testing

@Suite struct TensorViewTests {
  private let counting = Tensor((0..<24).map(Float.init), shape: [2, 3, 4])

  @Test(arguments: [[2, 3, 0], [0, 4], [3, 0, 32], [0], [1, 0, 1, 5]] as [[Int]])
  func `a tensor without elements is contiguous`(dimensions: [Int]) {
    #expect(Tensor(uninitialized: Shape(dimensions)).isContiguous)
  }

  @Test func `a slice keeps strides and moves the offset`() {
    let slice = counting.slice(1, 1..<3)
    #expect(slice.shape == [2, 2, 4] && slice.strides == [12, 4, 1] && slice.offset == 4)
    #expect(slice.floats() == [4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23])
    #expect(!slice.isContiguous && counting.slice(0, 1..<2).isContiguous)
  }

  @Test func `an empty slice at the end is allowed and has no elements`() {
    let slice = counting.slice(0, 2..<2)
    #expect(slice.shape == [0, 3, 4] && slice.floats().isEmpty && slice.byteCount == 0)
  }

  @Test func `a selected axis disappears`() {
    let row = counting.select(1, 2)
    #expect(row.shape == [2, 4] && row.floats() == [8, 9, 10, 11, 20, 21, 22, 23])
    #expect(counting.select(0, 1).select(0, 0).select(0, 3).floats() == [15])
  }

  @Test func `a permutation reorders extents and strides`() {
    let turned = counting.permuted([2, 0, 1])
    #expect(turned.shape == [4, 2, 3] && turned.strides == [1, 12, 4])
    #expect(turned.floats().prefix(7) == [0, 4, 8, 12, 16, 20, 1])
    #expect(turned.permuted([1, 2, 0]).floats() == counting.floats())
  }

  @Test func `axes of extent one do not spoil density`() {
    let tensor = Tensor(shape: [1, 2, 1, 3], dtype: .float32, strides: [99, 3, -7, 1], storage: counting.storage)
    #expect(tensor.isContiguous && tensor.floats() == [0, 1, 2, 3, 4, 5])
  }

  @Test func `a gap between rows allows splitting rows but not joining them`() {
    let gaps = counting.reshaped([6, 4]).slice(1, 0..<2)
    #expect(gaps.reshapedView([12]) == nil)
    #expect(gaps.reshapedView([3, 2, 1, 2])?.floats() == gaps.floats())
    #expect(gaps.reshapedView([3, 4]) == nil)
  }

  @Test func `an axis of stride zero repeats elements and can be reshaped`() {
    let repeated = Tensor(shape: [3, 4, 2], dtype: .float32, strides: [0, 0, 1], storage: counting.storage)
    #expect(repeated.reshapedView([2, 6, 2])?.floats() == repeated.floats())
    #expect(repeated.reshapedView([3, 8]) == nil)
  }

  @Test func `a reshaped view exists exactly where strides can express it`() {
    var random = RandomTensors(seed: 11)
    var (views, refusals) = (0, 0)
    for _ in 0..<6000 {
      let tensor = randomView(&random)
      let shape = randomShape(of: tensor.count, &random)
      let offsets = rowMajorOffsets(tensor)
      if let view = tensor.reshapedView(shape) {
        views += 1
        #expect(view.shape == shape && rowMajorOffsets(view) == offsets, "\(tensor) \(tensor.strides) to \(shape)")
      } else {
        refusals += 1
        #expect(!isExpressible(offsets, shape), "\(tensor) with strides \(tensor.strides) has a view as \(shape)")
      }
    }
    #expect(views > 300 && refusals > 300, "\(views) views, \(refusals) refusals")
  }

  /// A view made by random permutations, slices and selections of a dense tensor.
  private func randomView(_ random: inout RandomTensors) -> Tensor {
    let rank = Int.random(in: 1...4, using: &random)
    var tensor = Tensor(uninitialized: Shape((0..<rank).map { _ in Int.random(in: 1...4, using: &random) }))
    for _ in 0..<Int.random(in: 0...2, using: &random) {
      if Bool.random(using: &random) {
        tensor = tensor.permuted(Array(0..<rank).shuffled(using: &random))
      } else {
        let axis = Int.random(in: 0..<rank, using: &random)
        let lower = Int.random(in: 0..<tensor.shape[axis], using: &random)
        tensor = tensor.slice(axis, lower..<Int.random(in: lower + 1...tensor.shape[axis], using: &random))
      }
    }
    return tensor
  }

  /// A random factorization, with extents of one here and there.
  private func randomShape(of count: Int, _ random: inout RandomTensors) -> Shape {
    var rest = count
    var dimensions: [Int] = []
    while rest > 1 {
      let divisors = (1...rest).filter { rest % $0 == 0 }
      let extent = divisors[Int.random(in: 0..<divisors.count, using: &random)]
      dimensions.append(extent)
      rest /= extent
    }
    return Shape(dimensions.shuffled(using: &random))
  }

  /// Storage positions of all elements in row-major order, counted out index by index.
  private func rowMajorOffsets(_ tensor: Tensor) -> [Int] {
    (0..<tensor.count).map { position in
      var rest = position
      var offset = tensor.offset
      for axis in (0..<tensor.shape.rank).reversed() {
        offset += rest % tensor.shape[axis] * tensor.strides[axis]
        rest /= tensor.shape[axis]
      }
      return offset
    }
  }

  /// Whether positions are linear in the indices of a shape: strides follow from each axis' second element.
  private func isExpressible(_ offsets: [Int], _ shape: Shape) -> Bool {
    let steps = shape.rowMajorStrides
    let strides = (0..<shape.rank).map { shape[$0] > 1 ? offsets[steps[$0]] - offsets[0] : 0 }
    return offsets.indices.allSatisfy { position in
      let linear = (0..<shape.rank).reduce(offsets[0]) { $0 + position / steps[$1] % shape[$1] * strides[$1] }
      return linear == offsets[position]
    }
  }
}
