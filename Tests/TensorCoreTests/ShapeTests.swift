import TensorCore
import Testing

@Suite struct ShapeTests {
  @Test(
    arguments: [
      ([Int.max, 2], nil), ([1 << 32, 1 << 31], nil), ([-1], nil), ([0, -1], nil), ([Int.max, 2, 0], nil),
      ([1 << 31, 1 << 31], 1 << 62), ([3, 0, 5], 0), ([], 1), ([2, 3, 4], 24),
    ] as [([Int], Int?)])
  func `an element count that does not fit is nil`(dimensions: [Int], count: Int?) {
    #expect(Shape.elementCount(of: dimensions) == count)
  }

  @Test func `strides are those of dense rows, and empty axes count as one`() {
    #expect(Shape([2, 3, 4]).rowMajorStrides == [12, 4, 1])
    #expect(Shape([2, 0, 4]).rowMajorStrides == [4, 4, 1])
    #expect(Shape([]).rowMajorStrides.isEmpty)
  }

  @Test func `a shape tells its last extent, its rows and its text`() {
    let shape: Shape = [2, 3, 4]
    #expect(shape.rank == 3 && shape.last == 4 && shape.rows == 6 && shape.count == 24)
    #expect(shape.description == "[2, 3, 4]")
  }
}
