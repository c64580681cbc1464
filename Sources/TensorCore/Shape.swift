/// The extents of a tensor, outermost dimension first, for example `[B, L, C]`.
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public let dimensions: [Int]

  /// - Precondition: no extent is negative and the number of elements fits an `Int`.
  public init(_ dimensions: [Int]) {
    precondition(dimensions.allSatisfy { $0 >= 0 }, "shape: negative extent in \(dimensions)")
    precondition(Shape.elementCount(of: dimensions) != nil, "shape: \(dimensions) has more elements than fit an Int")
    self.dimensions = dimensions
  }

  public init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The number of dimensions.
  @inlinable
  public var rank: Int { dimensions.count }

  /// The number of elements: the product of all extents, 1 for a scalar.
  @inlinable
  public var count: Int { dimensions.reduce(1, *) }

  @inlinable
  public subscript(axis: Int) -> Int { dimensions[axis] }

  /// The last extent.
  @inlinable
  public var last: Int { dimensions[dimensions.count - 1] }

  /// The product of all extents but the last: the number of rows when the tensor is read as a matrix.
  @inlinable
  public var rows: Int { dimensions.dropLast().reduce(1, *) }

  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }

  /// Element strides of a dense row-major tensor of this shape.
  public var rowMajorStrides: [Int] {
    var strides = [Int](repeating: 1, count: dimensions.count)
    for axis in stride(from: dimensions.count - 2, through: 0, by: -1) {
      strides[axis] = strides[axis + 1] * max(dimensions[axis + 1], 1)
    }
    return strides
  }

  /// The number of elements, or nil where an extent is negative or the product (counting empty axes as one, so
  /// that strides fit too) overflows. For extents that come from a file or a command line.
  public static func elementCount(of dimensions: [Int]) -> Int? {
    var product = 1
    for extent in dimensions {
      guard extent >= 0 else { return nil }
      let (next, overflow) = product.multipliedReportingOverflow(by: max(extent, 1))
      if overflow { return nil }
      product = next
    }
    return dimensions.contains(0) ? 0 : product
  }
}
