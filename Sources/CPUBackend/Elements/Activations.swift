import TensorOps

// All three nonlinearities have the form x · sigmoid(p(x)): 0.5 (1 + tanh u) is the sigmoid of 2u.

extension Activation {
  /// Calls a function with the nonlinearity, so that the choice is made once and not per element.
  @inline(__always)
  func specialized(_ body: ((Float) -> Float) -> Void) {
    switch self {
    case .none: body { $0 }
    case .silu: body { $0.timesSigmoid(of: $0) }
    case .geluTanh: body { x in x.timesSigmoid(of: 1.595_769_12 * x.addingProduct(0.044_715 * x, x * x)) }
    case .quickGELU: body { $0.timesSigmoid(of: 1.702 * $0) }
    }
  }

  /// Applies the nonlinearity to `count` elements; the places must not overlap.
  func apply(_ count: Int, _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>) {
    specialized { f in mapElements(count, x, to: y, f) }
  }

  /// Adds a bias, where there is one, and applies the nonlinearity in place.
  func apply(_ count: Int, of y: UnsafeMutablePointer<Float>, adding bias: UnsafePointer<Float>?) {
    if let bias {
      specialized { f in mapElements(count, of: y, with: bias) { f($0 + $1) } }
    } else {
      specialized { f in mapElements(count, of: y, f) }
    }
  }
}

extension Float {
  @inline(__always)
  func timesSigmoid(of x: Float) -> Float { self / (1 + (-x).exponential) }
}
