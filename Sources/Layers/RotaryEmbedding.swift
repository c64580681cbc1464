import TensorCore
public import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension RotaryTable {
  /// Angles for a grid of tokens whose positions along several axes turn separate parts of the head dimension.
  ///
  /// Tokens are in row-major order of the grid. Axis `a` takes `dimensions[a]` channels in turn, with frequencies
  /// `theta^(-2j / dimensions[a])`. Reference: `hyvideo/modules/posemb_layers.py`, `get_nd_rotary_pos_embed`.
  public static func grid(_ extents: [Int], dimensions: [Int], theta: Float) -> RotaryTable {
    precondition(extents.count == dimensions.count, "rotary grid: \(extents) with dimensions \(dimensions)")
    // Angles depend on one coordinate each, so sines and cosines are taken once per axis and position.
    let axes = zip(extents, dimensions).map {
      AxisAngles(positions: $0, frequencies: frequencies(dimension: $1, theta: theta))
    }
    let pairs = dimensions.reduce(0, +) / 2
    let tokens = extents.reduce(1, *)
    var cosines: [Float] = []
    var sines: [Float] = []
    cosines.reserveCapacity(tokens * pairs)
    sines.reserveCapacity(tokens * pairs)
    for token in 0..<tokens {
      var stride = tokens
      for (axis, extent) in zip(axes, extents) {
        stride /= extent
        let position = token / stride % extent
        cosines += axis.cosines[position]
        sines += axis.sines[position]
      }
    }
    let shape: Shape = [tokens, pairs]
    return RotaryTable(
      cosines: Tensor(cosines, shape: shape), sines: Tensor(sines, shape: shape), pairing: .interleaved)
  }

  /// Angles for positions `0..<count` of a sequence with channels paired by halves, as in LLaMA.
  /// - Parameter frequencies: how far each pair turns from one position to the next.
  public static func sequence(_ count: Int, frequencies: [Float]) -> RotaryTable {
    let axis = AxisAngles(positions: count, frequencies: frequencies)
    let shape: Shape = [count, frequencies.count]
    return RotaryTable(
      cosines: Tensor(axis.cosines.flatMap { $0 }, shape: shape),
      sines: Tensor(axis.sines.flatMap { $0 }, shape: shape),
      pairing: .halves)
  }

  /// How far each pair of `dimension` channels turns from one position to the next.
  public static func frequencies(dimension: Int, theta: Float) -> [Float] {
    (0..<dimension / 2).map { 1 / powf(theta, Float(2 * $0) / Float(dimension)) }
  }
}

/// Cosines and sines of one axis, by position and frequency.
private struct AxisAngles {
  let cosines: [[Float]]
  let sines: [[Float]]

  init(positions: Int, frequencies: [Float]) {
    let angles = (0..<positions).map { position in frequencies.map { Float(position) * $0 } }
    cosines = angles.map { $0.map(cosf) }
    sines = angles.map { $0.map(sinf) }
  }
}
