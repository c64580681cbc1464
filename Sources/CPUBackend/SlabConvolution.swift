import TensorCore
import TensorOps

/// A convolution in slabs: a task copies the window of a band of result rows, with its replicated border, into scratch
/// memory and convolves it there on its thread. No padded copy of the whole input exists.
struct SlabConvolution {
  private struct Step {
    let phase: ConvolutionPhase
    /// For bands of full height and for the last, which may be lower.
    let full: (primitive: ConvolutionPrimitive, weights: Scratch)
    let last: (primitive: ConvolutionPrimitive, weights: Scratch)
  }

  private let input: Clip
  private let bias: Scratch
  private let residual: Clip?
  private let result: Clip
  /// Rows of the input's grid per band, and how many bands a frame has.
  private let height: Int
  private let bands: Int
  private let steps: [Step]

  /// How large a window may be: with the weights and the result it should stay in a core's share of the caches.
  private static let mostWindowElements = 1 << 19

  /// How many tasks a convolution has at least, where its height allows.
  private static let leastTasks = 32

  /// Rows of the input's grid per band.
  static func height(_ kernel: KernelExtents, slices: Int, rows: Int, width: Int, channels: Int) -> Int {
    let row = kernel.time * (width + kernel.width - 1) * channels
    let fitting = max(1, mostWindowElements / row - kernel.height + 1)
    // Bands for many threads where there are few frames, but not so low that a band is mostly border. Never by the number
    // of threads: oneDNN sums in an order that depends on the extents, and results must not depend on the machine.
    let wanted = min((leastTasks + slices - 1) / slices, max(rows / 4, 1))
    let count = max((rows + fitting - 1) / fitting, wanted)
    return (rows + count - 1) / count
  }

  init(
    _ weight: Weight, input: Clip, bias: Scratch, upsampling: Upsampling, residual: Tensor?, result: Tensor,
    _ cache: ConvolutionCache, _ pool: WorkerPool
  ) throws(BackendError) {
    self.input = input
    self.bias = bias
    self.residual = residual.map { Clip($0) }
    self.result = Clip(result)
    let taps = weight.shape[2]
    let phases = ConvolutionPhase.all(taps: taps, upsampling: upsampling)

    let height = SlabConvolution.height(
      phases[0].kernel, slices: input.batch * input.frames, rows: input.height, width: input.width,
      channels: input.channels)
    self.height = height
    bands = (input.height + height - 1) / height
    let lastHeight = input.height - (bands - 1) * height

    let isDirect = upsampling == .none
    var steps: [Step] = []
    for phase in phases {
      func prepare(_ height: Int) throws(BackendError) -> (ConvolutionPrimitive, Scratch) {
        let primitive = try cache.primitive(
          ConvolutionPrimitive.Key(
            channels: input.channels, outputs: result.shape[1], kernel: phase.kernel,
            result: KernelExtents(time: 1, height: height, width: input.width),
            accumulates: isDirect && residual != nil))
        return (primitive, try cache.weights(weight, phase, for: primitive, on: pool))
      }
      let full = try prepare(height)
      steps.append(Step(phase: phase, full: full, last: lastHeight == height ? full : try prepare(lastHeight)))
    }
    self.steps = steps
  }

  func run(on pool: WorkerPool) throws(BackendError) {
    try pool.parallel(count: input.batch * input.frames * bands) { (index) throws(BackendError) in
      try compute(item: index / bands / input.frames, frame: index / bands % input.frames, band: index % bands)
    }
  }

  /// All phases of one band.
  private func compute(item: Int, frame: Int, band: Int) throws(BackendError) {
    let rows = band * height..<min((band + 1) * height, input.height)
    let pixels = rows.count * input.width
    let kernel = steps[0].phase.kernel
    let windowCount =
      kernel.time * (rows.count + kernel.height - 1) * (input.width + kernel.width - 1) * input.channels
    let parts = steps.map { band == bands - 1 ? $0.last : $0.full }
    let window = Scratch(count: windowCount)
    let work = Scratch(byteCount: parts.reduce(0) { max($0, $1.primitive.scratchBytes) })
    let isDirect = steps.count == 1
    let small = Scratch(count: isDirect ? 0 : pixels * result.channels)
    defer { withExtendedLifetime((window, work, small)) {} }

    var loaded: ConvolutionPhase?
    for (step, part) in zip(steps, parts) {
      let phase = step.phase
      let target = frame * phase.time.factor + phase.time.offset
      if target < 0 { continue }
      if loaded?.row != phase.row || loaded?.column != phase.column || loaded?.time.first != phase.time.first {
        input.copy(
          item: item, frames: phase.time.window(of: frame..<frame + 1), rows: phase.row.window(of: rows),
          columns: phase.column.window(of: 0..<input.width), to: window.floats)
        loaded = phase
      }
      if isDirect {
        let place = result.row(item, target, rows.lowerBound)
        if let residual {
          place.update(from: residual.row(item, target, rows.lowerBound), count: pixels * result.channels)
        }
        try part.primitive.run(
          window.floats, weights: part.weights, bias: bias.floats, to: place, scratch: work.bytes)
      } else {
        try part.primitive.run(
          window.floats, weights: part.weights, bias: bias.floats, to: small.floats, scratch: work.bytes)
        scatter(small.floats, rows, item: item, frame: target, phase)
      }
    }
  }

  /// Puts the pixels of a phase where they belong in the enlarged result.
  private func scatter(
    _ pixels: UnsafePointer<Float>, _ rows: Range<Int>, item: Int, frame: Int, _ phase: ConvolutionPhase
  ) {
    let channels = result.channels
    for row in rows {
      let line = row * phase.row.factor + phase.row.offset
      let target = result.row(item, frame, line)
      let added = residual?.row(item, frame, line)
      for column in 0..<input.width {
        let from = pixels + ((row - rows.lowerBound) * input.width + column) * channels
        let place = (column * phase.column.factor + phase.column.offset) * channels
        if let added {
          mapElements(channels, from, UnsafePointer(added + place), to: target + place) { $0 + $1 }
        } else {
          (target + place).update(from: from, count: channels)
        }
      }
    }
  }
}

extension PhaseAxis {
  /// The input elements that some indices see.
  func window(of indices: Range<Int>) -> Range<Int> {
    indices.lowerBound + first..<indices.upperBound + first + count - 1
  }
}
