import Foundation

/// Structural similarity with a Gaussian window of 11 x 11 and sigma 1.5, K₁ = 0.01 and K₂ = 0.03, over the positions where
/// the window lies inside the picture; colour channels are averaged.
///
/// Source: Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
enum StructuralSimilarity {
  static let windowSize = 11

  private static let window: [Float] = {
    let weights = (0..<windowSize).map { exp(-pow(Double($0 - windowSize / 2), 2) / (2 * 1.5 * 1.5)) }
    let total = weights.reduce(0, +)
    return weights.map { Float($0 / total) }
  }()

  /// The similarity of two planes of `height · width` values in 0…1.
  /// - Precondition: both extents are at least `windowSize`.
  static func mean(_ x: [Float], _ y: [Float], height: Int, width: Int) -> Double {
    precondition(min(height, width) >= windowSize && x.count == height * width && y.count == x.count)
    func product(_ a: [Float], _ b: [Float]) -> [Float] { zip(a, b).map { $0 * $1 } }
    func filter(_ plane: [Float]) -> [Float] { filtered(plane, height: height, width: width) }
    let (meanX, meanY) = (filter(x), filter(y))
    let (squareX, squareY, mixed) = (filter(product(x, x)), filter(product(y, y)), filter(product(x, y)))
    let (c1, c2) = (0.01 * 0.01, 0.03 * 0.03)
    var sum = 0.0
    for i in meanX.indices {
      let (mx, my) = (Double(meanX[i]), Double(meanY[i]))
      let varianceX = Double(squareX[i]) - mx * mx
      let varianceY = Double(squareY[i]) - my * my
      let covariance = Double(mixed[i]) - mx * my
      sum +=
        (2 * mx * my + c1) * (2 * covariance + c2) / ((mx * mx + my * my + c1) * (varianceX + varianceY + c2))
    }
    return sum / Double(meanX.count)
  }

  /// The window's weighted means at the positions where it fits: rows, then columns.
  private static func filtered(_ plane: [Float], height: Int, width: Int) -> [Float] {
    let (rows, columns) = (height - windowSize + 1, width - windowSize + 1)
    var horizontal = [Float](repeating: 0, count: height * columns)
    var result = [Float](repeating: 0, count: rows * columns)
    for row in 0..<height {
      for tap in 0..<windowSize {
        let weight = window[tap]
        for column in 0..<columns { horizontal[row * columns + column] += weight * plane[row * width + column + tap] }
      }
    }
    for row in 0..<rows {
      for tap in 0..<windowSize {
        let weight = window[tap]
        for column in 0..<columns {
          result[row * columns + column] += weight * horizontal[(row + tap) * columns + column]
        }
      }
    }
    return result
  }
}
