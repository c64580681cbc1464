import TensorCore
import TensorOps

extension ConformanceCase {
  /// Operations on single elements.
  public static let elementwise = activations + gates + residuals + combinations

  private static let shapes: [Shape] = [[1], [3], [2, 5, 33], [1, 129, 64], [4, 1025], [1, 3, 2, 5, 7]]

  private static let activations = Activation.allCases.flatMap { activation in
    shapes.map { shape in
      ConformanceCase("activate \(shape), \(activation)") { inputs in
        [try inputs.backend.activate(inputs.tensor(shape), activation)]
      }
    } + [
      ConformanceCase("activate large numbers, \(activation)") { inputs in
        [try inputs.backend.activate(inputs.tensor([50, 20], deviation: 200), activation)]
      },
      ConformanceCase("activate the second part of rows, \(activation)") { inputs in
        [try inputs.backend.activate(inputs.slice([2, 7, 37], axis: 2), activation)]
      },
    ]
  }

  private static let gates =
    shapes.map { shape in
      ConformanceCase("gatedSiLU \(shape)") { inputs in
        [try inputs.backend.gatedSiLU(gate: inputs.tensor(shape, deviation: 5), inputs.tensor(shape))]
      }
    } + [
      ConformanceCase("gatedSiLU of the halves of rows") { inputs in
        let rows = try inputs.tensor([2, 7, 74])
        return [try inputs.backend.gatedSiLU(gate: rows.slice(2, 0..<37), rows.slice(2, 37..<74))]
      }
    ]

  private static let residuals =
    shapes.map { shape in
      ConformanceCase("residual \(shape)") { inputs in
        [try inputs.backend.residual(inputs.tensor(shape), gate: nil, inputs.tensor(shape))]
      }
    }
    + ([[1, 1, 8], [2, 5, 33], [1, 129, 64], [3, 2, 1]] as [Shape]).map { shape in
      ConformanceCase("residual \(shape) with a gate") { inputs in
        let gate = try inputs.tensor([shape[0], shape[2]])
        return [try inputs.backend.residual(inputs.tensor(shape), gate: gate, inputs.tensor(shape))]
      }
    }
    + [0, 1, 2].map { axis in
      ConformanceCase("residual of slices along axis \(axis) with a chunk of a modulation") { inputs in
        let gate = try inputs.tensor([2, 6 * 24]).slice(1, 48..<72)
        let x = try inputs.slice([2, 9, 24], axis: axis)
        let y = try inputs.slice([2, 9, 24], axis: (axis + 1) % 3)
        return [try inputs.backend.residual(x, gate: gate, y), try inputs.backend.residual(x, gate: nil, y)]
      }
    }

  private static let combinations =
    shapes.flatMap { shape in
      [(0.75, -1.3), (1, 0.01), (0, 2)].map { (a: Float, b: Float) in
        ConformanceCase("combination \(shape), \(a) and \(b)") { inputs in
          [try inputs.backend.combination(a, inputs.tensor(shape), b, inputs.tensor(shape))]
        }
      }
    }
    + [0, 2, 4].map { axis in
      ConformanceCase("combination of slices along axis \(axis)") { inputs in
        let x = try inputs.slice([1, 3, 2, 5, 7], axis: axis)
        return [try inputs.backend.combination(0.5, x, 3, inputs.tensor([1, 3, 2, 5, 7]))]
      }
    }
}
