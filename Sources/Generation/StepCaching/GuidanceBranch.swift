/// One of the two passes that a step makes with true guidance; without, there is the first alone.
public enum GuidanceBranch: Sendable, Hashable {
  /// On the prompt.
  case positive
  /// On the negative prompt.
  case negative
}

/// What is fitted to a checkpoint for the cache rules, for one pass of a step.
public struct StepCacheFit: Sendable, Hashable, Codable {
  /// TeaCache's polynomial, highest power first.
  public var teaCacheCoefficients: [Double]
  /// MagCache's ratios, one per step.
  public var magnitudeRatios: [Double]

  enum CodingKeys: String, CodingKey {
    case teaCacheCoefficients = "teacache_coefficients"
    case magnitudeRatios = "magnitude_ratios"
  }

  public init(teaCacheCoefficients: [Double], magnitudeRatios: [Double]) {
    self.teaCacheCoefficients = teaCacheCoefficients
    self.magnitudeRatios = magnitudeRatios
  }

  /// Fits what was seen in runs that computed every step: all changes, and the mean over the runs of each step's ratio.
  public init(_ runs: [CalibrationSignals]) {
    let points = runs.flatMap { $0.changes.map { (x: $0.input, y: $0.output) } }
    var ratios = [Double](repeating: 0, count: runs.map(\.magnitudeRatios.count).max() ?? 0)
    for run in runs {
      for (step, ratio) in run.magnitudeRatios.enumerated() { ratios[step] += ratio / Double(runs.count) }
    }
    self.init(teaCacheCoefficients: PolynomialFit.coefficients(points, degree: 4), magnitudeRatios: ratios)
  }

  /// Whether rules can work with it.
  var isUsable: Bool {
    (1...16).contains(teaCacheCoefficients.count) && (1...10_000).contains(magnitudeRatios.count)
      && (teaCacheCoefficients + magnitudeRatios).allSatisfy(\.isFinite)
  }
}
