extension BlockFormat {
  /// Whether numbers can be brought into this format, and not only read from it.
  public var isWritten: Bool { self == .q80 || self == .q4K }

  /// Numbers as one block, rounded so that what is read again differs as little as is easily found.
  /// - Precondition: the format is one that is written, and there are `elementCount` numbers.
  public func block(of numbers: ArraySlice<Float>) -> [UInt8] {
    precondition(isWritten && numbers.count == elementCount, "\(self): no block of \(numbers.count) numbers")
    return self == .q80 ? BlockFormat.q80Block(numbers) : BlockFormat.q4KBlock(numbers)
  }

  private static func bytes(_ number: Float) -> [UInt8] {
    let bits = Float16(number).bitPattern
    return [UInt8(bits & 0xFF), UInt8(bits >> 8)]
  }

  private static func stored(_ number: Float) -> Float { Float(Float16(number)) }

  /// Half precision factor, then 32 signed bytes: the largest magnitude becomes ±127.
  private static func q80Block(_ numbers: ArraySlice<Float>) -> [UInt8] {
    let factor = numbers.reduce(0) { max($0, $1.magnitude) } / 127
    let inverse = factor > 0 ? 1 / factor : 0
    return bytes(factor)
      + numbers.map { number in
        UInt8(bitPattern: Int8(max(-127, min(127, (number * inverse).rounded(.toNearestOrAwayFromZero)))))
      }
  }

  /// 8 parts of 32 numbers `scale · q - minimum` with `q` from 0 to 15; scales and minima are 6-bit multiples of two
  /// half-precision factors.
  private static func q4KBlock(_ numbers: ArraySlice<Float>) -> [UInt8] {
    let values = Array(numbers)
    let fits = (0..<8).map { AffineFit(values[32 * $0..<32 * ($0 + 1)], levels: 15) }
    let scaleUnit = stored((fits.map(\.scale).max() ?? 0) / 63)
    let minimumUnit = stored((fits.map(\.minimum).max() ?? 0) / 63)
    func steps(_ value: Float, _ unit: Float) -> Int { unit > 0 ? min(Int((value / unit).rounded()), 63) : 0 }
    let scales = fits.map { steps($0.scale, scaleUnit) }
    let minima = fits.map { steps($0.minimum, minimumUnit) }

    var packed = [UInt8](repeating: 0, count: 12)
    for part in 0..<4 {
      // The upper two bits of the last four go into the first four's bytes.
      packed[part] = UInt8(scales[part] | (scales[part + 4] >> 4) << 6)
      packed[part + 4] = UInt8(minima[part] | (minima[part + 4] >> 4) << 6)
      packed[part + 8] = UInt8(scales[part + 4] & 15 | (minima[part + 4] & 15) << 4)
    }
    let levels = values.enumerated().map { index, value in
      let scale = scaleUnit * Float(scales[index / 32])
      if scale == 0 { return UInt8(0) }
      let level = ((value + minimumUnit * Float(minima[index / 32])) / scale).rounded()
      return UInt8(max(0, min(15, level)))
    }
    var result = bytes(scaleUnit) + bytes(minimumUnit) + packed
    for pair in 0..<4 {
      for index in 0..<32 { result.append(levels[64 * pair + index] | levels[64 * pair + 32 + index] << 4) }
    }
    return result
  }
}

/// Numbers as `scale · q - minimum` with whole `q` from 0 to `levels`, scale and minimum not negative.
private struct AffineFit {
  private(set) var scale: Float
  private(set) var minimum: Float

  /// Least squares: levels for a scale, then the scale for the levels, from several starts around the numbers' range.
  init(_ numbers: ArraySlice<Float>, levels: Int) {
    let low = min(numbers.min() ?? 0, 0)
    let high = max(numbers.max() ?? 0, low)
    (scale, minimum) = ((high - low) / Float(levels), -low)
    if scale == 0 { return }
    var best = AffineFit.error(numbers, scale, minimum, levels)
    // A range a little smaller than the numbers' often costs less at its ends than it gains inside.
    for step in -4...4 {
      var candidate = (scale: (high - low) / (Float(levels) + 0.2 * Float(step)), minimum: -low)
      for _ in 0..<2 {
        guard let better = AffineFit.refined(numbers, candidate.scale, candidate.minimum, levels) else { break }
        candidate = better
        let error = AffineFit.error(numbers, candidate.scale, candidate.minimum, levels)
        if error < best { (best, scale, minimum) = (error, candidate.scale, candidate.minimum) }
      }
    }
  }

  private static func level(_ number: Float, _ scale: Float, _ minimum: Float, _ levels: Int) -> Float {
    max(0, min(Float(levels), ((number + minimum) / scale).rounded()))
  }

  private static func error(_ numbers: ArraySlice<Float>, _ scale: Float, _ minimum: Float, _ levels: Int) -> Float {
    numbers.reduce(0) { sum, number in
      let difference = scale * level(number, scale, minimum, levels) - minimum - number
      return sum + difference * difference
    }
  }

  /// The best scale and minimum for the levels that the numbers have now; nil where there is none.
  private static func refined(
    _ numbers: ArraySlice<Float>, _ scale: Float, _ minimum: Float, _ levels: Int
  ) -> (scale: Float, minimum: Float)? {
    var (sumQ, sumQQ, sumX, sumQX): (Float, Float, Float, Float) = (0, 0, 0, 0)
    for number in numbers {
      let q = level(number, scale, minimum, levels)
      (sumQ, sumQQ, sumX, sumQX) = (sumQ + q, sumQQ + q * q, sumX + number, sumQX + q * number)
    }
    let count = Float(numbers.count)
    let determinant = count * sumQQ - sumQ * sumQ
    if determinant <= 0 { return nil }
    var (newScale, newMinimum) = (
      (count * sumQX - sumQ * sumX) / determinant, (sumQ * sumQX - sumQQ * sumX) / determinant
    )
    if newMinimum < 0 { (newScale, newMinimum) = (sumQQ > 0 ? sumQX / sumQQ : 0, 0) }
    return newScale > 0 ? (newScale, newMinimum) : nil
  }
}
