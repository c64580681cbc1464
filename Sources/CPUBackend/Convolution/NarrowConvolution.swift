import TensorCore
import TensorOps

/// A convolution to very few channels, which would leave most of a vector unused. Every pixel is multiplied with the
/// weights of all rows and columns of the kernel at once, one matrix product per frame seen; a result pixel then collects
/// the products of its neighbours.
struct NarrowConvolution {
  /// Up to how many outputs this is the faster way.
  static let mostOutputs = 8

  private let input: Clip
  private let bias: Scratch
  private let residual: Clip?
  private let result: Clip
  private let taps: Int
  /// `[t, C, y · x · O]`
  private let weights: Scratch
  /// Products per pixel.
  private let products: Int
  /// Rows per task.
  private let height: Int

  /// Rows per task: what fits a cache.
  static func height(rows: Int, width: Int, channels: Int, products: Int) -> Int {
    max(1, min(rows, (1 << 18) / (width * max(channels, products))))
  }

  init(
    _ weight: Weight, input: Clip, bias: Scratch, residual: Tensor?, result: Tensor, _ workspace: Workspace
  ) throws(BackendError) {
    self.input = input
    self.bias = bias
    self.residual = residual.map { Clip($0) }
    self.result = Clip(result)
    taps = weight.shape[2]
    let outputs = weight.shape[0]
    products = taps * taps * outputs
    height = NarrowConvolution.height(
      rows: input.height, width: input.width, channels: input.channels, products: products)
    weights = workspace.scratch(taps * input.channels * products)
    let matrix = try WeightMatrix(weight, "causalConvolution")
    let (taps, target, products, weights) = (taps, weights.floats, products, weights)
    workspace.serially(scratch: matrix.columns) { kernels in
      for output in 0..<outputs {
        matrix.widen(rows: output..<output + 1, columns: 0..<matrix.columns, to: kernels, stride: matrix.columns)
        for channel in 0..<input.channels {
          for t in 0..<taps {
            for place in 0..<taps * taps {
              target[(t * input.channels + channel) * products + place * outputs + output] =
                kernels[(channel * taps + t) * taps * taps + place]
            }
          }
        }
      }
    }
    withExtendedLifetime(weights) {}
  }

  func run(in workspace: Workspace) throws(BackendError) {
    let bands = (input.height + height - 1) / height
    let scratch = min(height + taps - 1, input.height) * input.width * products
    try workspace.parallel(
      count: input.batch * input.frames * bands, scratch: scratch
    ) { (index, sums) throws(BackendError) in
      let band = index % bands
      try compute(
        item: index / bands / input.frames, frame: index / bands % input.frames,
        band * height..<min((band + 1) * height, input.height), sums)
    }
  }

  private func compute(
    item: Int, frame: Int, _ rows: Range<Int>, _ sums: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    let border = taps / 2
    let seen = max(rows.lowerBound - border, 0)..<min(rows.upperBound + border, input.height)
    let pixels = seen.count * input.width
    for t in 0..<taps {
      let right = OneDNN.Factor(
        address: UnsafePointer(weights.floats + t * input.channels * products), rowStride: products,
        isTransposed: false)
      try OneDNN.multiply(
        input.row(item, max(frame + t - taps + 1, 0), seen.lowerBound), rowStride: input.channels, right,
        rows: pixels, columns: products, inner: input.channels, adds: t > 0, into: sums, rowStride: products,
        "causalConvolution")
    }
    for row in rows {
      for column in 0..<input.width { collect(sums, seen, row, column, to: result.row(item, frame, row)) }
      if let residual {
        let target = result.row(item, frame, row)
        mapElements(
          input.width * result.channels, of: target, with: UnsafePointer(residual.row(item, frame, row))
        ) { $0 + $1 }
      }
    }
  }

  /// Adds up what the neighbours of a pixel contribute to it.
  private func collect(
    _ sums: UnsafePointer<Float>, _ seen: Range<Int>, _ row: Int, _ column: Int,
    to target: UnsafeMutablePointer<Float>
  ) {
    let outputs = result.channels
    let pixel = target + column * outputs
    pixel.update(from: bias.floats, count: outputs)
    for y in 0..<taps {
      let line = min(max(row + y - taps / 2, 0), input.height - 1) - seen.lowerBound
      for x in 0..<taps {
        let place = min(max(column + x - taps / 2, 0), input.width - 1)
        let part = sums + (line * input.width + place) * products + (y * taps + x) * outputs
        for output in 0..<outputs { pixel[output] += part[output] }
      }
    }
  }
}
