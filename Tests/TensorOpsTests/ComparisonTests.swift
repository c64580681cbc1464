import BackendConformance
import TensorCore
import TensorTesting
import Testing

@Suite struct ComparisonTests {
  private func compare(_ a: [Float], _ b: [Float]) -> Comparison {
    Comparison(Tensor(a, shape: [a.count]), Tensor(b, shape: [b.count]))
  }

  @Test func `the largest difference is reported with its place and both values`() throws {
    let a = Tensor([1, 2, 3, 4, 5, 9] as [Float], shape: [2, 3])
    let b = Tensor([1, 2, 3, 4, 7, 8] as [Float], shape: [2, 3])
    let largest = try #require(Comparison(a, b).largest)
    #expect(largest.difference == 2)
    #expect(largest.index == [1, 1])
    #expect(largest.actual == 5 && largest.expected == 7)
    #expect(Comparison(a, b).description.contains("[1, 1]"))
  }

  @Test func `the relative norm divides by the expected tensor`() {
    #expect(compare([3, 5], [3, 4]).relativeNorm == 0.2)
    #expect(compare([3, 5], [3, 4]).isWithin(relative: 0.2))
    #expect(!compare([3, 5], [3, 4]).isWithin(relative: 0.199))
    #expect(abs(compare([1, 1], [1, 0]).cosine - 0.5.squareRoot()) < 1e-12)
  }

  @Test func `NaN never passes, not even against NaN`() {
    #expect(compare([.nan], [.nan]).hasNaN)
    #expect(!compare([.nan], [.nan]).isWithin(relative: .infinity))
    #expect(!compare([1, .nan], [1, 2]).isWithin(relative: .infinity))
    #expect(!compare([1, 2], [1, .nan]).isWithin(relative: .infinity))
  }

  @Test func `different shapes never pass`() {
    let values: [Float] = [1, 2]
    let comparison = Comparison(Tensor(values, shape: [2]), Tensor(values, shape: [1, 2]))
    #expect(!comparison.isWithin(relative: .infinity))
    #expect(comparison.description == "shape [2], expected [1, 2]")
  }

  @Test func `equal infinities pass and others do not`() {
    #expect(compare([-.infinity, 1], [-.infinity, 1]).isWithin(relative: 0))
    #expect(!compare([.infinity, 1], [-.infinity, 1]).isWithin(relative: 1e6))
    #expect(!compare([.infinity, 1], [2, 1]).isWithin(relative: 1e6))
    #expect(!compare([2, 1], [.infinity, 1]).isWithin(relative: 1e6))
  }

  @Test func `zeros equal zeros and nothing else`() {
    #expect(compare([0, 0], [0, 0]).isWithin(relative: 0))
    #expect(!compare([0, 1e-30], [0, 0]).isWithin(relative: 1e6))
  }

  @Test func `a wrong tensor is an issue and a right one is none`() {
    let x = Tensor([1, 2] as [Float], shape: [2])
    expectClose(x, x, relative: 0, "itself")
    withKnownIssue { expectClose(x, Tensor([1, 2.1] as [Float], shape: [2]), relative: 1e-3, "another") }
  }
}
