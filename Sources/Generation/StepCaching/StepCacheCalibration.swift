/// What was measured of a checkpoint for the cache rules.
public struct StepCacheCalibration: Sendable, Hashable {
  /// TeaCache's polynomial, highest power first.
  public let teaCacheCoefficients: [Double]
  /// MagCache's ratios, one per step.
  public let magnitudeRatios: [Double]

  public init(teaCacheCoefficients: [Double], magnitudeRatios: [Double]) {
    self.teaCacheCoefficients = teaCacheCoefficients
    self.magnitudeRatios = magnitudeRatios
  }
}
