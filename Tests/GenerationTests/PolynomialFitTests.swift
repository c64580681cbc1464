import Generation
import Testing

@Suite struct PolynomialFitTests {
  @Test func `a polynomial's own values give back its coefficients`() {
    let coefficients = [733.2, -401.1, 67.6, -3.15, 0.096]
    let points = (0..<40).map { index in
      let x = Double(index) * 0.005
      return (x: x, y: coefficients.reduce(0) { $0 * x + $1 })
    }
    for (found, expected) in zip(PolynomialFit.coefficients(points, degree: 4), coefficients) {
      #expect(abs(found - expected) < 1e-3 * abs(expected))
    }
  }

  @Test func `few or equal points still give finite coefficients`() {
    for points in [[], [(x: 0.1, y: 0.2)], Array(repeating: (x: 0.1, y: 0.2), count: 9)] {
      let found = PolynomialFit.coefficients(points, degree: 4)
      #expect(!found.isEmpty && found.allSatisfy(\.isFinite))
      if !points.isEmpty { #expect(abs(found.reduce(0) { $0 * 0.1 + $1 } - 0.2) < 1e-3) }
    }
  }
}
