public import TensorCore
public import TensorOps

extension CPUBackend {
  /// Causal convolution with channels last, inside and in the result's memory. Upsampling before it costs nothing: each
  /// phase of the enlarged result is a smaller convolution of the input.
  public func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    x.requireFloat32("causalConvolution")
    precondition(x.shape.rank == 5 && x.count > 0, "causalConvolution: expected [B, C, F, H, W], found \(x)")
    precondition(
      weight.shape.rank == 5 && weight.shape[1] == x.shape[1] && weight.shape[2] % 2 == 1
        && weight.shape[3] == weight.shape[2] && weight.shape[4] == weight.shape[2],
      "causalConvolution: \(weight.name) is \(weight.tensor), expected [O, \(x.shape[1]), k, k, k] with k odd")
    let outputs = weight.shape[0]
    let shape: Shape = [
      x.shape[0], outputs, upsampling.frames(x.shape[2]), x.shape[3] * upsampling.space, x.shape[4] * upsampling.space,
    ]
    precondition(
      residual?.shape ?? shape == shape,
      "causalConvolution: \(weight.name): residual \(residual?.shape ?? []), expected \(shape)")
    let input = channelsLast(x)
    if weight.shape[2] == 1 {
      return try pointwiseConvolution(input, weight, bias, upsampling, residual)
    }
    let result = workspace.tensor([shape[0], shape[2], shape[3], shape[4], outputs]).permuted([0, 4, 1, 2, 3])
    if outputs == 0 { return result }
    try convolve(input, norm: nil, weight, bias, upsampling, residual: residual, to: result)
    return result
  }

  /// Normalizes while it copies windows: nothing as large as the input is written.
  public func causalConvolution(
    _ x: Tensor, after norm: GroupNormalization, weight: Weight, bias: Weight?, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    let outputs = weight.shape[0]
    if x.count == 0 || weight.shape[2] == 1 || outputs <= NarrowConvolution.mostOutputs {
      return try causalConvolution(
        groupNorm(x, norm), weight: weight, bias: bias, upsampling: .none, residual: residual)
    }
    let shape: Shape = [x.shape[0], outputs, x.shape[2], x.shape[3], x.shape[4]]
    precondition(
      weight.shape[1] == x.shape[1] && residual?.shape ?? shape == shape,
      "causalConvolution: \(weight.name) is \(weight.tensor) for \(x) with residual \(residual?.shape ?? [])")
    let input = channelsLast(x)
    let factors = try channelFactors(input, norm, isChannelsLast: true)
    noteGroupNorm(input, norm, isChannelsLast: true, reads: x.byteCount, writes: 0)
    let result = workspace.tensor([shape[0], shape[2], shape[3], shape[4], outputs]).permuted([0, 4, 1, 2, 3])
    try convolve(
      input, norm: InputNorm(factors: factors, activation: norm.activation), weight, bias, .none, residual: residual,
      to: result)
    return result
  }

  /// The way that is the fastest for the extents.
  private func convolve(
    _ x: Tensor, norm: InputNorm?, _ weight: Weight, _ bias: Weight?, _ upsampling: Upsampling, residual: Tensor?,
    to result: Tensor
  ) throws(BackendError) {
    let (input, outputs, taps) = (Clip(x), weight.shape[0], weight.shape[2])
    workspace.note(
      .convolution,
      [
        x.shape[1], outputs, taps, x.shape[0], x.shape[2], x.shape[3], x.shape[4], upsampling.time, upsampling.space,
        residual == nil ? 0 : 1,
      ], [weight, bias],
      operations: 2 * Double(result.count / outputs) * Double(outputs * x.shape[1] * taps * taps * taps),
      reads: x.byteCount + (residual?.byteCount ?? 0), writes: result.byteCount)
    let residual = residual.map { channelsLast($0) }
    let bias =
      try bias.map { (bias) throws(BackendError) in
        try workspace.widened(bias, count: outputs, "causalConvolution")
      } ?? zeros(outputs)
    if outputs <= NarrowConvolution.mostOutputs && upsampling == .none {
      try NarrowConvolution(
        weight, input: input, bias: bias, residual: residual, result: result, workspace
      ).run(in: workspace)
    } else if let extents = WinogradExtents(taps: taps, upsampling: upsampling, outputs: outputs, x) {
      try WinogradConvolution(
        extents, weight, input: input, norm: norm, bias: bias, residual: residual, result: result, packedWeights,
        convolutions, workspace
      ).run(in: workspace)
    } else {
      try SlabConvolution(
        weight, input: input, norm: norm, bias: bias, upsampling: upsampling, residual: residual, result: result,
        packedWeights, convolutions, workspace
      ).run(in: workspace)
    }
  }

  /// A kernel of one element is a linear layer over all positions; repetition may as well follow it.
  private func pointwiseConvolution(
    _ x: Tensor, _ weight: Weight, _ bias: Weight?, _ upsampling: Upsampling, _ residual: Tensor?
  ) throws(BackendError) -> Tensor {
    let matrix = weight.reshaped([weight.shape[0], weight.shape[1]])
    let small = try linear([x.permuted([0, 2, 3, 4, 1])], weight: matrix, bias: bias, activation: .none)
    let result = upsampling == .none ? small : repeated(small, upsampling)
    let clip = result.permuted([0, 4, 1, 2, 3])
    guard let residual else { return clip }
    return try self.residual(clip, gate: nil, residual)
  }

  /// `[B, F, H, W, C]` with every pixel repeated.
  private func repeated(_ x: Tensor, _ upsampling: Upsampling) -> Tensor {
    let (space, width, channels) = (upsampling.space, x.shape[3], x.shape[4])
    let (frames, height) = (upsampling.frames(x.shape[1]), x.shape[2] * space)
    let result = workspace.tensor([x.shape[0], frames, height, width * space, channels])
    let values = result.floats
    let source = UnsafePointer(x.floats)
    workspace.note(.copy, [result.count, min(result.count, 4096)], reads: result.byteCount, writes: result.byteCount)
    workspace.parallelRanges(count: x.shape[0] * frames * height, grain: CPUBackend.rowGrain(width * channels)) {
      range in
      for row in range {
        let (item, frame, line) = (row / height / frames, row / height % frames, row % height)
        let sourceFrame = (frame + upsampling.time - 1) / upsampling.time
        let from = source + ((item * x.shape[1] + sourceFrame) * x.shape[2] + line / space) * width * channels
        for column in 0..<width * space {
          (values + (row * width * space + column) * channels).update(
            from: from + column / space * channels, count: channels)
        }
      }
    }
    return result
  }

  private func zeros(_ count: Int) -> Scratch {
    let zeros = workspace.scratch(count)
    workspace.serially { zeros.floats.update(repeating: 0, count: count) }
    return zeros
  }

  /// The tensor with its channels innermost in dense memory: `[B, F, H, W, C]` as bytes, `[B, C, F, H, W]` as shape.
  func channelsLast(_ x: Tensor) -> Tensor {
    let view = x.permuted([0, 2, 3, 4, 1])
    return view.isContiguous ? x : copied(view).permuted([0, 4, 1, 2, 3])
  }
}

/// A normalization of a convolution's input: factors of all batch items.
struct InputNorm {
  let factors: Scratch
  let activation: Activation

  func normalization(item: Int, channels: Int) -> ChannelNormalization {
    ChannelNormalization(
      factors: UnsafePointer(factors.floats + item * 3 * channels), channels: channels, activation: activation)
  }
}

/// A dense channels-last clip.
struct Clip {
  let tensor: Tensor
  let batch: Int
  let channels: Int
  let frames: Int
  let height: Int
  let width: Int

  init(_ tensor: Tensor) {
    self.tensor = tensor
    (batch, channels) = (tensor.shape[0], tensor.shape[1])
    (frames, height, width) = (tensor.shape[2], tensor.shape[3], tensor.shape[4])
  }

  /// The address of the first channel of the first pixel of a row.
  func row(_ item: Int, _ frame: Int, _ row: Int) -> UnsafeMutablePointer<Float> {
    tensor.floats + ((item * frames + frame) * height + row) * width * channels
  }

  /// Copies a window, replicating the border: pixels `columns` of rows `rows` of frames `frames`, all of which may reach
  /// beyond the clip.
  /// - Parameter norm: what is done to the pixels on the way.
  func copy(
    item: Int, frames: Range<Int>, rows: Range<Int>, columns: Range<Int>, norm: ChannelNormalization? = nil,
    to target: UnsafeMutablePointer<Float>
  ) {
    var write = target
    let inside = max(columns.lowerBound, 0)..<min(columns.upperBound, width)
    for frame in frames {
      for line in rows {
        let source =
          row(item, min(max(frame, 0), self.frames - 1), min(max(line, 0), height - 1)) + inside.lowerBound * channels
        let first = write + (inside.lowerBound - columns.lowerBound) * channels
        if let norm {
          norm.apply(positions: inside.count, source, to: first)
        } else {
          first.update(from: source, count: inside.count * channels)
        }
        while write < first {
          write.update(from: first, count: channels)
          write += channels
        }
        write += inside.count * channels
        for _ in inside.upperBound..<columns.upperBound {
          write.update(from: write - channels, count: channels)
          write += channels
        }
      }
    }
  }
}
