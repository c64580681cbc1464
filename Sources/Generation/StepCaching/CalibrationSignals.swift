public import HunyuanVideo
public import TensorCore
public import TensorOps

/// Computes every step and keeps what the rules look at.
public final class CalibrationSignals: StepCache {
  public let skipped = false
  /// Relative change of the first block's modulated input from the step before, and of the network's output.
  public private(set) var changes: [(input: Double, output: Double)] = []
  /// Mean over tokens of the residual's norm relative to the step before; the first is 1.
  public private(set) var magnitudeRatios: [Double] = []

  private var inputs: (previous: Tensor?, change: Double) = (nil, 0)
  private var previousOutput: Tensor?
  private var previousNorms: [Double]?

  public init() {}

  public func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision {
    let input = try modulatedInput()
    inputs = (input, try inputs.previous.map { p throws(BackendError) in try change(input, p, on: backend) } ?? 0)
    return .compute
  }

  public func finish(
    step: Int, input: Tensor, firstBlockOutput: Tensor, output: Tensor, on backend: any Backend
  ) throws(BackendError) {
    let norms = tokenNorms(try backend.download(backend.combination(1, output, -1, input)))
    let ratios = previousNorms.map { zip(norms, $0).map { $0 / ($1 + 1e-8) } }
    magnitudeRatios.append(ratios.map { $0.reduce(0, +) / Double(max(1, $0.count)) } ?? 1)
    previousNorms = norms
  }

  public func finish(step: Int, latents: Tensor, velocity: Tensor, on backend: any Backend) throws(BackendError) {
    if let previousOutput { changes.append((inputs.change, try change(velocity, previousOutput, on: backend))) }
    previousOutput = velocity
  }

  private func change(_ x: Tensor, _ previous: Tensor, on backend: any Backend) throws(BackendError) -> Double {
    try backend.absoluteSum(x, minus: previous) / backend.absoluteSum(previous, minus: nil)
  }

  /// The norm of each token of a host tensor `[B, L, C]`.
  private func tokenNorms(_ x: Tensor) -> [Double] {
    let (tokens, channels) = (x.shape[0] * x.shape[1], x.shape[2])
    let values = x.hostPointer.assumingMemoryBound(to: Float.self)
    return (0..<tokens).map { token in
      var sum = 0.0
      for channel in 0..<channels {
        let value = Double(values[token * channels + channel])
        sum += value * value
      }
      return sum.squareRoot()
    }
  }
}

/// Least squares of a polynomial.
public enum PolynomialFit {
  /// The coefficients, highest power first, that map `x` to `y` best; the degree falls where there are too few points.
  public static func coefficients(_ points: [(x: Double, y: Double)], degree: Int) -> [Double] {
    let count = min(degree + 1, max(1, points.count))
    let scale = points.map { abs($0.x) }.max().flatMap { $0 > 0 ? $0 : nil } ?? 1
    // Normal equations of the scaled powers, a trace of damping for points that coincide.
    var matrix = [[Double]](repeating: [Double](repeating: 0, count: count + 1), count: count)
    for point in points {
      var powers = [1.0]
      for _ in 1..<max(count, 2) { powers.append(powers[powers.count - 1] * point.x / scale) }
      for row in 0..<count {
        for column in 0..<count { matrix[row][column] += powers[row] * powers[column] }
        matrix[row][count] += powers[row] * point.y
      }
    }
    for row in 0..<count { matrix[row][row] += 1e-12 * Double(max(1, points.count)) }
    for pivot in 0..<count {
      let best = (pivot..<count).max { abs(matrix[$0][pivot]) < abs(matrix[$1][pivot]) } ?? pivot
      matrix.swapAt(pivot, best)
      for row in 0..<count where row != pivot {
        let factor = matrix[row][pivot] / matrix[pivot][pivot]
        for column in pivot...count { matrix[row][column] -= factor * matrix[pivot][column] }
      }
    }
    var weight = 1.0
    var result: [Double] = []
    for row in 0..<count {
      result.append(matrix[row][count] / matrix[row][row] * weight)
      weight /= scale
    }
    return result.reversed()
  }
}
