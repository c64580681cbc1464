public import TensorCore

extension ReferenceBackend {
  /// Literally: enlarge, pad, convolve, add.
  public func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 5 && x.count > 0, "causalConvolution: expected [B, C, F, H, W], found \(x)")
    precondition(
      weight.shape.rank == 5 && weight.shape[1] == x.shape[1] && weight.shape[2] % 2 == 1
        && weight.shape[3] == weight.shape[2] && weight.shape[4] == weight.shape[2],
      "causalConvolution: \(weight.name) is \(weight.tensor), expected [O, \(x.shape[1]), k, k, k] with k odd")
    let (outputs, inputs, k) = (weight.shape[0], weight.shape[1], weight.shape[2])
    let kernel = try weight.widened(for: "causalConvolution")
    let offsets = try bias.map { b throws(BackendError) in try read(b, count: outputs, "causalConvolution") }

    let enlarged = Volume(values: read(x, "causalConvolution"), shape: x.shape).enlarged(upsampling)
    let padded = enlarged.padded(front: k - 1, border: k / 2)
    let shape = Shape([x.shape[0], outputs, enlarged.frames, enlarged.height, enlarged.width])
    precondition(
      residual?.shape ?? shape == shape,
      "causalConvolution: \(weight.name): residual \(residual?.shape ?? []), expected \(shape)")
    let added = residual.map { read($0, "causalConvolution") }

    var result: [Float] = []
    result.reserveCapacity(shape.count)
    var sums = [Double](repeating: 0, count: enlarged.width)
    for item in 0..<x.shape[0] {
      for output in 0..<outputs {
        for frame in 0..<enlarged.frames {
          for row in 0..<enlarged.height {
            for column in sums.indices { sums[column] = Double(offsets?[output] ?? 0) }
            for input in 0..<inputs {
              for t in 0..<k {
                for y in 0..<k {
                  let line = padded.index(item * inputs + input, frame + t, row + y)
                  let weights = (((output * inputs + input) * k + t) * k + y) * k
                  for x in 0..<k {
                    let factor = Double(kernel[weights + x])
                    for column in sums.indices { sums[column] += factor * Double(padded.values[line + x + column]) }
                  }
                }
              }
            }
            for sum in sums { result.append(Float(sum + Double(added?[result.count] ?? 0))) }
          }
        }
      }
    }
    return Tensor(result, shape: shape)
  }
}

/// Dense planes of frames: batch items and channels are one axis here.
private struct Volume {
  var values: [Float]
  var planes: Int
  var frames: Int
  var height: Int
  var width: Int

  init(values: [Float], shape: Shape) {
    self.values = values
    planes = shape[0] * shape[1]
    (frames, height, width) = (shape[2], shape[3], shape[4])
  }

  /// The position of the first element of a row.
  func index(_ plane: Int, _ frame: Int, _ row: Int) -> Int {
    ((plane * frames + frame) * height + row) * width
  }

  /// Frame 0 once and each later frame `time` times; every row and column `space` times.
  func enlarged(_ upsampling: Upsampling) -> Volume {
    let frameSources = (0..<frames).flatMap { Array(repeating: $0, count: $0 == 0 ? 1 : upsampling.time) }
    let rowSources = (0..<height).flatMap { Array(repeating: $0, count: upsampling.space) }
    let columnSources = (0..<width).flatMap { Array(repeating: $0, count: upsampling.space) }
    return picking(frameSources, rowSources, columnSources)
  }

  /// Replicates the border: before the first frame and around the rows and columns.
  func padded(front: Int, border: Int) -> Volume {
    func sources(_ range: Range<Int>, _ extent: Int) -> [Int] { range.map { min(max($0, 0), extent - 1) } }
    return picking(
      sources(-front..<frames, frames), sources(-border..<height + border, height),
      sources(-border..<width + border, width))
  }

  /// The volume whose frame, row and column `i` are those at position `i` of the lists.
  private func picking(_ frameSources: [Int], _ rowSources: [Int], _ columnSources: [Int]) -> Volume {
    var result = self
    (result.frames, result.height, result.width) = (frameSources.count, rowSources.count, columnSources.count)
    result.values = []
    result.values.reserveCapacity(planes * result.frames * result.height * result.width)
    for plane in 0..<planes {
      for frame in frameSources {
        for row in rowSources {
          let line = index(plane, frame, row)
          for column in columnSources { result.values.append(values[line + column]) }
        }
      }
    }
    return result
  }
}
