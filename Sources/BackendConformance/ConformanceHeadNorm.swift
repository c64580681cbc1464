import TensorCore
import TensorOps

extension ConformanceCase {
  /// Normalization and rotation of queries and keys.
  public static let headNorm = fusedHeads + headNormVariants

  /// Queries and keys inside a fused projection `[B, L, 3·N·D]`, as every block has them.
  private static let fusedHeads = [
    (1, 1, 1, 2), (1, 5, 2, 16), (2, 17, 3, 12), (1, 33, 4, 128), (2, 9, 4, 20), (1, 3, 24, 128), (1, 130, 1, 64),
  ].flatMap { (batch, tokens, heads, size) in
    [true, false].flatMap { hasWeight in
      [nil, RotaryTable.Pairing.interleaved, .halves].map { pairing in
        ConformanceCase(
          "headNorm [\(batch), \(tokens), \(heads), \(size)] in a projection, weight \(hasWeight), "
            + "rotary \(pairing.map { "\($0)" } ?? "none")"
        ) { inputs in
          let width = heads * size
          let projection = try inputs.tensor([batch, tokens, 3 * width])
          let weight = try hasWeight ? inputs.weight([size], mean: 1) : nil
          let rotary = pairing.map { inputs.rotary(tokens, size: size, $0) }
          return try [0, 1].map { part in
            let x = projection.slice(2, part * width..<(part + 1) * width).reshaped([batch, tokens, heads, size])
            return try inputs.backend.headNorm(x, weight: weight, epsilon: 1e-6, rotary: rotary)
          }
        }
      }
    }
  }

  private static let headNormVariants =
    WeightFormat.plain.map { format in
      ConformanceCase("headNorm [1, 6, 2, 10], dense, weight \(format)") { inputs in
        let x = try inputs.tensor([1, 6, 2, 10])
        let rotary = inputs.rotary(6, size: 10, .interleaved)
        let weight = try inputs.weight([10], format)
        return [try inputs.backend.headNorm(x, weight: weight, epsilon: 1e-6, rotary: rotary)]
      }
    } + [
      ConformanceCase("headNorm of an odd head size") { inputs in
        let x = try inputs.tensor([2, 3, 2, 7])
        return [try inputs.backend.headNorm(x, weight: inputs.weight([7]), epsilon: 1e-6, rotary: nil)]
      },
      ConformanceCase("headNorm of some tokens with their part of the table") { inputs in
        let x = try inputs.tensor([2, 12, 3, 8]).slice(1, 4..<9)
        let rotary = inputs.rotary(12, size: 8, .interleaved).tokens(4..<9)
        return [try inputs.backend.headNorm(x, weight: inputs.weight([8]), epsilon: 1e-6, rotary: rotary)]
      },
      ConformanceCase("headNorm of the heads of a group") { inputs in
        let x = try inputs.tensor([2, 5, 6, 8]).slice(2, 2..<4)
        let rotary = inputs.rotary(5, size: 8, .halves)
        return [try inputs.backend.headNorm(x, weight: nil, epsilon: 0, rotary: rotary)]
      },
    ]
}
