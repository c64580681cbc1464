public import TensorCore

/// How far one tensor is from another. A NaN on either side, an infinity that the other side has not, and different
/// shapes count as infinitely far.
public struct Comparison: Sendable, CustomStringConvertible {
  /// The shape of the tensor under test.
  public let actualShape: Shape
  /// The shape it should have.
  public let expectedShape: Shape
  /// The largest absolute difference of two elements, where it is, and the two elements there; nil for tensors without
  /// elements or of different shapes.
  public private(set) var largest: (difference: Double, index: [Int], actual: Float, expected: Float)?
  /// `‖a - b‖ / ‖b‖` over the whole tensors; 0 where both are zero.
  public private(set) var relativeNorm = Double.infinity
  /// The cosine of the angle between the two as vectors; 1 where both are zero.
  public private(set) var cosine = Double.nan
  /// Whether either tensor holds a NaN.
  public private(set) var hasNaN = false

  /// Compares two host tensors of any types and strides by value.
  public init(_ actual: Tensor, _ expected: Tensor) {
    actualShape = actual.shape
    expectedShape = expected.shape
    if actual.shape != expected.shape { return }
    var (difference, actualSquares, expectedSquares, product) = (0.0, 0.0, 0.0, 0.0)
    var worst: (distance: Double, position: Int)?
    let (actualValues, expectedValues) = (actual.floats(), expected.floats())
    for (position, (a, b)) in zip(actualValues, expectedValues).enumerated() {
      hasNaN = hasNaN || a.isNaN || b.isNaN
      // Equal infinities agree but would make every sum infinite.
      let agree = a == b
      let distance = agree ? 0 : a.isNaN || b.isNaN ? .infinity : abs(Double(a) - Double(b))
      if distance > worst?.distance ?? -1 { worst = (distance, position) }
      if agree && !a.isFinite { continue }
      difference += distance * distance
      actualSquares += Double(a) * Double(a)
      expectedSquares += Double(b) * Double(b)
      product += Double(a) * Double(b)
    }
    if let worst {
      let index = zip(actual.shape.dimensions, actual.shape.rowMajorStrides).map { worst.position / $1 % $0 }
      largest = (worst.distance, index, actualValues[worst.position], expectedValues[worst.position])
    }
    if !difference.isFinite { return }
    relativeNorm = difference == 0 ? 0 : (difference / expectedSquares).squareRoot()
    let norms = (actualSquares * expectedSquares).squareRoot()
    cosine = norms == 0 ? (difference == 0 ? 1 : 0) : product / norms
  }

  /// Whether shapes agree, nothing is NaN and the relative norm of the difference is at most `relative`.
  public func isWithin(relative: Double) -> Bool {
    actualShape == expectedShape && !hasNaN && relativeNorm <= relative
  }

  /// One line for a test's message.
  public var description: String {
    if actualShape != expectedShape { return "shape \(actualShape), expected \(expectedShape)" }
    guard let largest else { return "no elements" }
    return "relative norm of the difference \(relativeNorm), cosine \(cosine), largest difference "
      + "\(largest.difference) at \(largest.index): \(largest.actual), expected \(largest.expected)"
      + (hasNaN ? "; NaN found" : "")
  }
}
