import TensorOps

/// One axis of a convolution of which every `factor`-th result is computed, from an input that upsampling by `factor`
/// has not been applied to: taps that meet the same input element are added up beforehand.
///
/// With three taps and factor 2, row `2y` sees rows `y - 1` (tap 0) and `y` (taps 1 and 2), row `2y + 1` sees `y` (taps 0 and 1)
/// and `y + 1` (tap 2).
struct PhaseAxis: Hashable {
  /// Results are at `factor · index + offset`.
  let factor: Int
  let offset: Int
  /// The input element of tap 0, relative to the index.
  let first: Int
  /// How many input elements are seen.
  let count: Int
  /// Which of them each tap meets.
  let places: [Int]

  /// - Parameters:
  ///   - border: How many taps come before the position itself.
  ///   - shift: Upsampled element `u` is a copy of input element `(u + shift) / factor`, rounded down.
  private init(taps: Int, border: Int, factor: Int, offset: Int, shift: Int) {
    self.factor = factor
    self.offset = offset
    let elements = (0..<taps).map { tap in
      let position = offset + tap - border + shift
      return position >= 0 ? position / factor : -((factor - 1 - position) / factor)
    }
    let first = elements[0]
    self.first = first
    count = elements[taps - 1] - first + 1
    places = elements.map { $0 - first }
  }

  /// Rows or columns: element `i` becomes `factor · i …`, taps lie on both sides.
  static func space(taps: Int, factor: Int) -> [PhaseAxis] {
    (0..<factor).map { PhaseAxis(taps: taps, border: taps / 2, factor: factor, offset: $0, shift: 0) }
  }

  /// Frames: the first stays single, so frame `u` is a copy of `(u + factor - 1) / factor`; taps lie in the past.
  static func time(taps: Int, factor: Int) -> [PhaseAxis] {
    (0..<factor).map { PhaseAxis(taps: taps, border: taps - 1, factor: factor, offset: -$0, shift: factor - 1) }
  }
}

/// One of the small convolutions that an upsampling and a convolution are together.
struct ConvolutionPhase: Hashable {
  let time: PhaseAxis
  let row: PhaseAxis
  let column: PhaseAxis

  /// All phases, those that see the same window next to each other.
  static func all(taps: Int, upsampling: Upsampling) -> [ConvolutionPhase] {
    let (times, lines) = (
      PhaseAxis.time(taps: taps, factor: upsampling.time), PhaseAxis.space(taps: taps, factor: upsampling.space)
    )
    return lines.flatMap { row in
      lines.flatMap { column in times.map { ConvolutionPhase(time: $0, row: row, column: column) } }
    }
  }

  var kernel: KernelExtents { KernelExtents(time: time.count, height: row.count, width: column.count) }

  /// Adds up the taps of kernels `[rows, taps, taps, taps]` that meet the same input element.
  func fold(
    _ kernels: UnsafePointer<Float>, rows: Int, taps: Int, to folded: UnsafeMutablePointer<Float>
  ) {
    let volume = kernel.time * kernel.height * kernel.width
    folded.update(repeating: 0, count: rows * volume)
    for index in 0..<rows {
      let (source, target) = (kernels + index * taps * taps * taps, folded + index * volume)
      for t in 0..<taps {
        for y in 0..<taps {
          for x in 0..<taps {
            let place = (time.places[t] * kernel.height + row.places[y]) * kernel.width + column.places[x]
            target[place] += source[(t * taps + y) * taps + x]
          }
        }
      }
    }
  }
}

/// The extents of a kernel, or of the result that one call of a convolution computes.
struct KernelExtents: Hashable {
  let time: Int
  let height: Int
  let width: Int
}
