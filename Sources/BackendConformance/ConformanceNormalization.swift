import TensorCore
import TensorOps

extension ConformanceCase {
  /// Normalizations but those of heads.
  public static let normalization = layerNorms + layerNormViews + rmsNorms + groupNorms + groupNormViews

  private static let layerNorms = ([[1, 1, 8], [2, 5, 33], [1, 129, 64], [3, 7, 768], [1, 2, 1]] as [Shape]).flatMap {
    shape in
    [(false, false, false), (true, false, false), (true, true, false), (true, true, true), (false, true, true)]
      .flatMap { (isAffine, isScaled, isShifted) in
        [0.0, 8].map { mean in
          ConformanceCase(
            "layerNorm \(shape), affine \(isAffine), scale \(isScaled), shift \(isShifted), mean \(mean)"
          ) { inputs in
            let x = try inputs.tensor(shape, mean: mean)
            let weight = try isAffine ? inputs.weight([shape[2]]) : nil
            let bias = try isAffine ? inputs.weight([shape[2]]) : nil
            let scale = try isScaled ? inputs.tensor([shape[0], shape[2]]) : nil
            let shift = try isShifted ? inputs.tensor([shape[0], shape[2]]) : nil
            return [
              try inputs.backend.layerNorm(
                x, weight: weight, bias: bias, scale: scale, shift: shift, epsilon: mean == 0 ? 1e-6 : 1e-5)
            ]
          }
        }
      }
  }

  private static let layerNormViews =
    [0, 1, 2].map { axis in
      ConformanceCase("layerNorm of a slice along axis \(axis) with chunks of a modulation") { inputs in
        let x = try inputs.slice([2, 9, 24], axis: axis)
        let modulation = try inputs.tensor([2, 6 * 24])
        return [
          try inputs.backend.layerNorm(
            x, weight: nil, bias: nil, scale: modulation.slice(1, 24..<48), shift: modulation.slice(1, 0..<24),
            epsilon: 1e-6)
        ]
      }
    }
    + WeightFormat.plain.map { format in
      ConformanceCase("layerNorm with weight and bias in \(format), constant rows") { inputs in
        let x = try inputs.backend.concatenate(
          [inputs.tensor([1, 3, 20]), inputs.tensor([1, 2, 20], mean: 3, deviation: 0)], axis: 1)
        let weight = try inputs.weight([20], format, mean: 1)
        let bias = try inputs.weight([20], format)
        return [
          try inputs.backend.layerNorm(x, weight: weight, bias: bias, scale: nil, shift: nil, epsilon: 1e-5)
        ]
      }
    }

  private static let rmsNorms =
    ([[1, 1, 8], [2, 5, 33], [1, 129, 64], [7, 768], [2, 3, 2, 16], [1, 1]] as [Shape]).flatMap { shape in
      WeightFormat.plain.map { format in
        ConformanceCase("rmsNorm \(shape), weight \(format)") { inputs in
          let x = try inputs.tensor(shape, mean: 0.5)
          return [try inputs.backend.rmsNorm(x, weight: inputs.weight([shape.last], format), epsilon: 1e-5)]
        }
      }
    }
    + [0, 1, 2].map { axis in
      ConformanceCase("rmsNorm of a slice along axis \(axis)") { inputs in
        let x = try inputs.slice([2, 9, 24], axis: axis)
        return [try inputs.backend.rmsNorm(x, weight: inputs.weight([24]), epsilon: 1e-6)]
      }
    }

  private static let groupNorms = [
    ([1, 3, 1, 5, 7] as Shape, 3), ([1, 16, 1, 1, 1], 4), ([1, 16, 2, 3, 5], 4), ([2, 48, 5, 4, 3], 16),
    ([1, 128, 2, 9, 7], 32), ([1, 8, 2, 33, 31], 2), ([2, 16, 5, 1, 9], 1),
  ].flatMap { (shape, groups) in
    [Activation.none, .silu].flatMap { activation in
      [0.0, 8].map { mean in
        ConformanceCase("groupNorm \(shape), \(groups) groups, \(activation), mean \(mean)") { inputs in
          let x = try inputs.tensor(shape, mean: mean)
          let weight = try inputs.weight([shape[1]], mean: 1)
          let bias = try inputs.weight([shape[1]])
          return [
            try inputs.backend.groupNorm(
              x, groups: groups, weight: weight, bias: bias, epsilon: 1e-6, activation: activation)
          ]
        }
      }
    }
  }

  private static let groupNormViews = (0..<5).flatMap { axis in
    WeightFormat.plain.map { format in
      ConformanceCase("groupNorm of a slice along axis \(axis), weight \(format)") { inputs in
        let x = try inputs.slice([2, 12, 3, 5, 7], axis: axis)
        let weight = try inputs.weight([12], format, mean: 1)
        let bias = try inputs.weight([12], format)
        return [
          try inputs.backend.groupNorm(x, groups: 4, weight: weight, bias: bias, epsilon: 1e-6, activation: .silu)
        ]
      }
    }
  }
}
