// Views share storage and cost nothing. A view that is not contiguous goes to operations as it is where they take
// strides, and through `Backend.contiguous` where they do not.

extension Tensor {
  /// The elements `range` along one axis.
  public func slice(_ axis: Int, _ range: Range<Int>) -> Tensor {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= shape[axis], "slice: \(range) of axis \(axis) of \(shape)")
    var dimensions = shape.dimensions
    dimensions[axis] = range.count
    let start = range.isEmpty ? offset : offset + range.lowerBound * strides[axis]
    return Tensor(shape: Shape(dimensions), dtype: dtype, strides: strides, offset: start, storage: storage)
  }

  /// One element along an axis, which disappears from the shape.
  public func select(_ axis: Int, _ index: Int) -> Tensor {
    let slice = slice(axis, index..<index + 1)
    var dimensions = shape.dimensions
    var strides = strides
    dimensions.remove(at: axis)
    strides.remove(at: axis)
    return Tensor(shape: Shape(dimensions), dtype: dtype, strides: strides, offset: slice.offset, storage: storage)
  }

  /// The same elements with axes in another order: axis `i` of the result is axis `order[i]` of this tensor.
  public func permuted(_ order: [Int]) -> Tensor {
    precondition(order.sorted() == Array(0..<shape.rank), "permuted: \(order) is not an order of \(shape)'s axes")
    return Tensor(
      shape: Shape(order.map { shape[$0] }), dtype: dtype, strides: order.map { strides[$0] }, offset: offset,
      storage: storage)
  }

  /// The same elements with other extents, as a view, or nil where the strides do not allow it.
  public func reshapedView(_ newShape: Shape) -> Tensor? {
    precondition(newShape.count == count, "reshape: \(shape) to \(newShape) changes the number of elements")
    guard let strides = Tensor.strides(reshaping: shape, strides, to: newShape) else { return nil }
    return Tensor(shape: newShape, dtype: dtype, strides: strides, offset: offset, storage: storage)
  }

  /// The same elements with other extents.
  /// - Precondition: the strides allow a view; `Backend.contiguous` makes any tensor fit.
  public func reshaped(_ newShape: Shape) -> Tensor {
    guard let view = reshapedView(newShape) else {
      preconditionFailure("reshape: \(shape) with strides \(strides) has no view of shape \(newShape)")
    }
    return view
  }

  /// Strides for a reshaped view: groups of old axes that are dense among themselves are split into new axes.
  private static func strides(reshaping old: Shape, _ oldStrides: [Int], to new: Shape) -> [Int]? {
    if new.count == 0 { return new.rowMajorStrides }
    var axes = (0..<old.rank).filter { old[$0] != 1 }
    var result = [Int](repeating: 1, count: new.rank)
    var newAxis = new.rank - 1
    while let axis = axes.popLast() {
      // The largest dense group of old axes that ends here.
      var group = old[axis]
      let innermost = oldStrides[axis]
      while let outer = axes.last, oldStrides[outer] == innermost * group {
        group *= old[outer]
        axes.removeLast()
      }
      // Its elements, dealt out to the new axes from the innermost.
      var stride = innermost
      while group > 1 {
        guard newAxis >= 0 else { return nil }
        let extent = new[newAxis]
        guard group % extent == 0 else { return nil }
        result[newAxis] = stride
        stride *= extent
        group /= extent
        newAxis -= 1
      }
    }
    return result
  }
}
