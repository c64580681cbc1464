import TensorCore
import TensorOps

extension ConformanceCase {
  /// Moving, joining and reducing.
  public static let layout = transfers + copies + joins + means + sums + finiteness

  private static let transfers =
    WeightFormat.all.filter { $0.scaling == .none }.map { format in
      ConformanceCase("upload \(format)") { inputs in
        let values = inputs.random.values(70)
        return [try inputs.backend.upload(WeightFormat.encode(values, shape: [2, 5, 7], as: format.dtype))]
      }
    } + [
      ConformanceCase("upload and download views") { inputs in
        let hostSlice = inputs.random.slice([2, 3, 5])
        let hostPermutation = inputs.random.channelsLast([2, 3, 2, 4, 5])
        return [
          try inputs.backend.upload(hostSlice), try inputs.backend.upload(hostPermutation),
          try inputs.slice([2, 3, 5], axis: 2), try inputs.tensor([3, 4, 5]).permuted([2, 0, 1]),
        ]
      }
    ]

  /// Orders of axes: transposition, channels first and last, heads, patches of `[B, C, F, h, 2, w, 2]` and back.
  private static let copies =
    [
      ([5, 7] as Shape, [1, 0]), ([3, 4], [0, 1]), ([2, 65, 33], [0, 2, 1]), ([2, 6, 3, 5, 7], [0, 2, 3, 4, 1]),
      ([2, 3, 5, 7, 16], [0, 4, 1, 2, 3]), ([2, 9, 3, 8], [0, 2, 1, 3]),
      ([1, 4, 3, 5, 2, 6, 2], [0, 2, 3, 5, 1, 4, 6]),
      ([1, 3, 5, 6, 4, 1, 2, 2], [0, 4, 1, 5, 2, 6, 3, 7]), ([1, 130, 1], [2, 1, 0]),
    ].map { (shape, order) in
      ConformanceCase("contiguous \(shape) in order \(order)") { inputs in
        [try inputs.backend.contiguous(inputs.tensor(shape).permuted(order))]
      }
    }
    + (0..<3).map { axis in
      ConformanceCase("contiguous slice along axis \(axis)") { inputs in
        let x = try inputs.slice([2, 9, 24], axis: axis)
        return [try inputs.backend.contiguous(x), try inputs.backend.contiguous(x.permuted([1, 0, 2]))]
      }
    }

  private static let joins =
    (0..<3).map { axis in
      ConformanceCase("concatenate along axis \(axis)") { inputs in
        let shapes = [1, 4, 2].map { extent in
          var dimensions = [2, 3, 5]
          dimensions[axis] = extent
          return Shape(dimensions)
        }
        let dense = try shapes.map { try inputs.tensor($0) }
        let slices = try shapes.map { try inputs.slice($0, axis: 2) }
        return [
          try inputs.backend.concatenate(dense, axis: axis), try inputs.backend.concatenate(slices, axis: axis),
          try inputs.backend.concatenate([dense[0], slices[1]], axis: axis),
          try inputs.backend.concatenate([slices[1]], axis: axis),
        ]
      }
    } + [
      ConformanceCase("concatenate frames of tiles") { inputs in
        let tiles = try (1...3).map { try inputs.slice([1, 3, $0, 5, 7], axis: 4) }
        return [try inputs.backend.concatenate(tiles, axis: 2)]
      }
    ]

  private static let means =
    ([[1, 1, 8], [2, 5, 33], [1, 129, 64], [3, 700, 3]] as [Shape]).map { shape in
      ConformanceCase("meanOverTokens \(shape)") { inputs in
        [try inputs.backend.meanOverTokens(inputs.tensor(shape, mean: 1))]
      }
    }
    + (0..<3).map { axis in
      ConformanceCase("meanOverTokens of a slice along axis \(axis)") { inputs in
        [try inputs.backend.meanOverTokens(inputs.slice([2, 9, 24], axis: axis))]
      }
    }

  private static let sums =
    ([[1], [2, 5, 33], [1, 129, 64], [1, 3, 2, 5, 7], [70, 1001]] as [Shape]).map { shape in
      ConformanceCase("absoluteSum \(shape)") { inputs in
        let (x, y) = (try inputs.tensor(shape), try inputs.tensor(shape))
        let sums = [
          try inputs.backend.absoluteSum(x, minus: nil), try inputs.backend.absoluteSum(x, minus: y),
          try inputs.backend.absoluteSum(x, minus: x),
        ]
        return sums.map { Tensor([Float($0)], shape: [1]) }
      }
    }
    + (0..<3).map { axis in
      ConformanceCase("absoluteSum of a slice along axis \(axis)") { inputs in
        let x = try inputs.slice([2, 9, 24], axis: axis)
        let sums = [
          try inputs.backend.absoluteSum(x, minus: nil),
          try inputs.backend.absoluteSum(inputs.tensor(x.shape), minus: x),
        ]
        return sums.map { Tensor([Float($0)], shape: [1]) }
      }
    }

  /// Single bad elements at several places, seen and unseen by a view.
  private static let finiteness = [0, 17, 63, 64, 512, 1004].map { position in
    ConformanceCase("isFinite with a bad element at \(position)") { inputs in
      let values = inputs.random.values(1005)
      let answers = try [Float.nan, .infinity, -.infinity, inputs.largeNumber].flatMap { bad in
        var changed = values
        changed[position] = bad
        let x = try inputs.backend.upload(Tensor(changed, shape: [15, 67]))
        return [try inputs.backend.isFinite(x), try inputs.backend.isFinite(x.slice(1, 1..<66))]
      }
      return [Tensor(answers.map { Float($0 ? 1 : 0) }, shape: [8])]
    }
  }
}
