import TensorCore
import TensorOps

extension ConformanceCase {
  /// Linear layers whose results are added to a stream.
  public static let addedLinear = addedShapes + addedFormats + addedBlocks + addedViews

  /// Batch and tokens, inputs, outputs: few rows, dozens, many, with tiles of rows that begin and end inside batch items.
  private static let addedShapes = [
    ([1, 1], 8, 8), ([2, 1], 64, 384), ([2, 2], 1030, 70), ([1, 17], 64, 96), ([2, 33], 72, 40), ([3, 5], 31, 19),
    ([3, 171], 40, 130), ([2, 301], 16, 24),
  ].flatMap { (leading: [Int], inputs: Int, outputs: Int) in
    [true, false].flatMap { hasGate in
      [true, false].map { hasBias in
        ConformanceCase(
          "linear \(leading), \(inputs) to \(outputs), added to a stream, gate \(hasGate), bias \(hasBias)"
        ) { inputsOf in
          let input = try inputsOf.tensor(Shape(leading + [inputs]))
          let weight = try inputsOf.weight([outputs, inputs], deviation: 1 / Double(inputs).squareRoot())
          let bias = try hasBias ? inputsOf.weight([outputs]) : nil
          let x = try inputsOf.tensor(Shape(leading + [outputs]))
          let gate = try hasGate ? inputsOf.tensor([leading[0], outputs]) : nil
          let stream = ResidualStream(x, gate: gate)
          return [try inputsOf.backend.linear([input], weight: weight, bias: bias, addedTo: stream)]
        }
      }
    }
  }

  private static let addedFormats = WeightFormat.all.flatMap { format in
    [([2, 1], 40, 33), ([2, 5], 64, 48), ([2, 35], 129, 50), ([2, 257], 32, 16)].map { (leading, inputs, outputs) in
      ConformanceCase("linear \(leading), \(inputs) to \(outputs), weight \(format), added to a stream") { inputsOf in
        let input = try inputsOf.tensor(Shape(leading + [inputs]))
        let weight = try inputsOf.weight([outputs, inputs], format)
        let bias = try inputsOf.weight([outputs], .bfloat16)
        let stream = ResidualStream(
          try inputsOf.tensor(Shape(leading + [outputs])), gate: try inputsOf.tensor([leading[0], outputs]))
        return [try inputsOf.backend.linear([input], weight: weight, bias: bias, addedTo: stream)]
      }
    }
  }

  private static let addedBlocks = BlockFormat.allCases.flatMap { format in
    [([2, 2], 17), ([2, 9], 48), ([2, 257], 16)].map { (leading, outputs) in
      ConformanceCase("linear \(leading) to \(outputs), weight \(format), added to a stream") { inputs in
        let input = try inputs.tensor(Shape(leading + [format.elementCount]))
        let weight = try inputs.weight([outputs, format.elementCount], format)
        let stream = ResidualStream(
          try inputs.tensor(Shape(leading + [outputs])), gate: try inputs.tensor([leading[0], outputs]))
        return [try inputs.backend.linear([input], weight: weight, bias: nil, addedTo: stream)]
      }
    }
  }

  /// A stream with gaps, a gate that is part of a modulation, inputs in parts; without a gate, a stream of other extents.
  private static let addedViews: [ConformanceCase] =
    [2, 9, 300].flatMap { tokens in
      [0, 1, 2].map { axis in
        ConformanceCase("linear of parts, added to a slice of \(tokens) tokens along axis \(axis)") { inputs in
          let parts = try [5, 16, 3].map { try inputs.slice([2, tokens, $0], axis: 2) }
          let weight = try inputs.weight([40, 24], .bfloat16).rows(7..<31)
          let x = try inputs.slice([2, tokens, 24], axis: axis)
          let gate = try inputs.tensor([2, 6 * 24]).slice(1, 48..<72)
          return [
            try inputs.backend.linear(parts, weight: weight, bias: nil, addedTo: ResidualStream(x, gate: gate)),
            try inputs.backend.linear(parts, weight: weight, bias: nil, addedTo: ResidualStream(x)),
          ]
        }
      }
    }
    + ([[3], [70], [2, 3, 2, 5]] as [[Int]]).map { leading in
      ConformanceCase("linear \(leading), added to a stream that is no batch of tokens") { inputs in
        let input = try inputs.tensor(Shape(leading + [24]))
        let x = try inputs.slice(Shape(leading + [17]), axis: leading.count)
        let weight = try inputs.weight([17, 24])
        return [try inputs.backend.linear([input], weight: weight, bias: nil, addedTo: ResidualStream(x))]
      }
    }
}
