import TensorCore
import TensorOps

/// A tensor's value and backward differences at the last computed step, for extrapolation in the step index.
///
/// `F₀` is the value, `Fᵢ₊₁ = (Fᵢ - Fᵢ') / d` with `'` the factors before and `d` the distance of the two computed steps, as
/// TaylorSeer has it: exact for linear functions, not for higher powers.
struct TaylorSeries {
  private(set) var factors: [Tensor] = []

  init(_ factors: [Tensor] = []) { self.factors = factors }

  var isEmpty: Bool { factors.isEmpty }

  /// Takes the value of another computed step.
  /// - Parameter distance: steps since the one before; at least 1.
  mutating func update(
    _ value: Tensor, distance: Int, order: Int, on backend: any Backend
  ) throws(BackendError) {
    var next = [value]
    let weight = 1 / Float(distance)
    for index in 0..<min(order, factors.count) {
      next.append(try backend.combination(weight, next[index], -weight, factors[index]))
    }
    factors = next
  }

  /// `Σ Fᵢ xⁱ / i!`
  func value(at x: Int, on backend: any Backend) throws(BackendError) -> Tensor {
    var result = factors[0]
    var weight: Float = 1
    for order in factors.indices.dropFirst() {
      weight *= Float(x) / Float(order)
      result = try backend.combination(1, result, weight, factors[order])
    }
    return result
  }
}
