import TensorCore
import TensorOps

extension ConformanceCase {
  /// Linear layers and embeddings.
  public static let linear = linearShapes + linearFormats + linearViews + embeddings

  /// Leading extents, inputs, outputs: single rows, odd numbers, one more than common tile sizes.
  private static let linearShapes = [
    ([1], 1, 1), ([1, 1], 8, 8), ([1, 3], 5, 7), ([2, 1], 64, 384), ([2, 7], 48, 33), ([1, 17], 64, 96),
    ([1, 33], 1030, 70), ([1, 130], 72, 40), ([2, 65], 128, 257), ([1, 1], 512, 1025), ([300], 16, 24),
    ([2, 3, 4], 31, 16), ([1, 513], 64, 3),
  ].flatMap { (leading: [Int], inputs: Int, outputs: Int) in
    Activation.allCases.flatMap { activation in
      [true, false].map { hasBias in
        ConformanceCase(
          "linear \(leading), \(inputs) to \(outputs), \(activation), bias \(hasBias)"
        ) { inputsOf in
          let x = try inputsOf.tensor(Shape(leading + [inputs]))
          let weight = try inputsOf.weight([outputs, inputs], deviation: 1 / Double(inputs).squareRoot())
          let bias = try hasBias ? inputsOf.weight([outputs]) : nil
          return [try inputsOf.backend.linear([x], weight: weight, bias: bias, activation: activation)]
        }
      }
    }
  }

  private static let linearFormats = WeightFormat.all.flatMap { format in
    [(1, 40, 33), (9, 64, 48), (70, 129, 50), (257, 32, 16)].map { (rows, inputs, outputs) in
      ConformanceCase("linear [\(rows)], \(inputs) to \(outputs), weight \(format)") { inputsOf in
        let x = try inputsOf.tensor([rows, inputs])
        let weight = try inputsOf.weight([outputs, inputs], format)
        let bias = try inputsOf.weight([outputs], WeightFormat(format.scaling == .none ? format.dtype : .bfloat16))
        return [try inputsOf.backend.linear([x], weight: weight, bias: bias, activation: .none)]
      }
    }
  }

  private static let linearViews: [ConformanceCase] =
    [0, 1, 2].map { axis in
      ConformanceCase("linear of a slice along axis \(axis)") { inputs in
        let x = try inputs.slice([2, 9, 24], axis: axis)
        let weight = try inputs.weight([17, 24])
        return [try inputs.backend.linear([x], weight: weight, bias: nil, activation: .silu)]
      }
    }
    + [[8, 16], [5, 7, 3], [64, 256], [33, 1]].flatMap { widths in
      WeightFormat.plain.map { format in
        ConformanceCase("linear of parts \(widths), weight \(format)") { inputs in
          let parts = try widths.map { try inputs.slice([2, 6, $0], axis: 2) }
          let weight = try inputs.weight([19, widths.reduce(0, +)], format)
          let bias = try inputs.weight([19], format)
          return [try inputs.backend.linear(parts, weight: weight, bias: bias, activation: .geluTanh)]
        }
      }
    }
    + WeightFormat.all.map { format in
      ConformanceCase("linear with some rows of a weight, \(format)") { inputs in
        let x = try inputs.tensor([1, 5, 24])
        let weight = try inputs.weight([40, 24], format).rows(7..<30)
        let bias = try inputs.weight([40], .bfloat16).rows(7..<30)
        return [try inputs.backend.linear([x], weight: weight, bias: bias, activation: .none)]
      }
    }

  private static let embeddings = WeightFormat.all.flatMap { format in
    [[7] as Shape, [2, 5], [1, 1]].map { shape in
      ConformanceCase("embedding of \(shape), table \(format)") { inputs in
        let ids = inputs.random.ids(shape, below: 11)
        return [try inputs.backend.embedding(ids, table: inputs.weight([11, 19], format))]
      }
    }
  }
}
