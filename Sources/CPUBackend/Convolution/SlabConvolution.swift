import TensorCore
import TensorOps

/// A convolution in slabs: a task copies the window of a band of result rows, with its replicated border, into scratch
/// memory and convolves it there on its thread. No padded copy of the whole input exists.
struct SlabConvolution {
  private struct Step {
    let phase: ConvolutionPhase
    /// For bands of full height and for the last, which may be lower.
    let full: (convolution: PreparedConvolution, weights: Scratch)
    let last: (convolution: PreparedConvolution, weights: Scratch)
  }

  private let input: Clip
  private let norm: InputNorm?
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
    _ weight: Weight, input: Clip, norm: InputNorm?, bias: Scratch, upsampling: Upsampling, residual: Tensor?,
    result: Tensor, _ packed: PackedWeights, _ library: ConvolutionLibrary, _ workspace: Workspace
  ) throws(BackendError) {
    self.input = input
    self.norm = norm
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
      func prepare(_ height: Int) throws(BackendError) -> (PreparedConvolution, Scratch) {
        let convolution = try library.convolution(
          ConvolutionPrimitive.Key(
            channels: input.channels, outputs: result.shape[1], kernel: phase.kernel,
            result: KernelExtents(time: 1, height: height, width: input.width),
            accumulates: isDirect && residual != nil), in: workspace)
        return (convolution, try packed.phase(phase, of: weight, for: convolution, in: workspace))
      }
      let full = try prepare(height)
      steps.append(Step(phase: phase, full: full, last: lastHeight == height ? full : try prepare(lastHeight)))
    }
    self.steps = steps
  }

  func run(in workspace: Workspace) throws(BackendError) {
    let scratch = SlabScratch(
      kernel: steps[0].phase.kernel, height: height, width: input.width, channels: input.channels,
      outputs: result.channels, isDirect: steps.count == 1,
      workBytes: steps.flatMap { [$0.full, $0.last] }.map(\.convolution.scratchBytes).max() ?? 0)
    let (work, small) = (scratch.window, scratch.window + scratch.work)
    if steps.count > 1 {
      return try workspace.parallel(
        count: input.batch * input.frames * bands, scratch: scratch.count
      ) { (index, memory) throws(BackendError) in
        try compute(
          item: index / bands / input.frames, frame: index / bands % input.frames, band: index % bands,
          window: memory, work: memory + work, small: memory + small)
      }
    }
    // Some neighbouring frames of a band, so that most of a window is there already.
    let length = max(1, min(8, input.batch * input.frames * bands / SlabConvolution.leastTasks))
    let parts = (input.frames + length - 1) / length
    try workspace.parallel(
      count: input.batch * parts * bands, scratch: scratch.count
    ) { (index, memory) throws(BackendError) in
      let first = index / bands % parts * length
      try slide(
        item: index / bands / parts, frames: first..<min(first + length, input.frames), band: index % bands,
        window: memory, work: memory + work)
    }
  }

  /// A band of some neighbouring frames, without enlargement.
  private func slide(
    item: Int, frames: Range<Int>, band: Int, window: UnsafeMutablePointer<Float>, work: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    let rows = band * height..<min((band + 1) * height, input.height)
    let phase = steps[0].phase
    let part = band == bands - 1 ? steps[0].last : steps[0].full
    let (lines, columns) = (phase.row.window(of: rows), phase.column.window(of: 0..<input.width))
    let frameCount = lines.count * columns.count * input.channels
    let norm = norm?.normalization(item: item, channels: input.channels)
    let kept = phase.kernel.time - 1
    for frame in frames {
      // What is new in the window: all of it, or its last frame.
      var seen = phase.time.window(of: frame..<frame + 1)
      if frame > frames.lowerBound {
        window.update(from: window + frameCount, count: kept * frameCount)
        seen = seen.upperBound - 1..<seen.upperBound
      }
      input.copy(
        item: item, frames: seen, rows: lines, columns: columns, norm: norm,
        to: window + (kept + 1 - seen.count) * frameCount)
      let place = result.row(item, frame, rows.lowerBound)
      if let residual {
        place.update(
          from: residual.row(item, frame, rows.lowerBound), count: rows.count * input.width * result.channels)
      }
      try part.convolution.run(window, weights: part.weights.floats, bias: bias.floats, to: place, scratch: work)
    }
  }

  /// All phases of one band.
  private func compute(
    item: Int, frame: Int, band: Int, window: UnsafeMutablePointer<Float>, work: UnsafeMutablePointer<Float>,
    small: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    let rows = band * height..<min((band + 1) * height, input.height)
    let parts = steps.map { band == bands - 1 ? $0.last : $0.full }

    var loaded: ConvolutionPhase?
    for (step, part) in zip(steps, parts) {
      let phase = step.phase
      let target = frame * phase.time.factor + phase.time.offset
      if target < 0 { continue }
      if loaded?.row != phase.row || loaded?.column != phase.column || loaded?.time.first != phase.time.first {
        input.copy(
          item: item, frames: phase.time.window(of: frame..<frame + 1), rows: phase.row.window(of: rows),
          columns: phase.column.window(of: 0..<input.width), to: window)
        loaded = phase
      }
      try part.convolution.run(window, weights: part.weights.floats, bias: bias.floats, to: small, scratch: work)
      scatter(small, rows, item: item, frame: target, phase)
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

/// The working memory of a task, in floats: a window, oneDNN's own, and the pixels of one phase.
struct SlabScratch {
  let window: Int
  let work: Int
  private let small: Int
  var count: Int { window + work + small }

  init(
    kernel: KernelExtents, height: Int, width: Int, channels: Int, outputs: Int, isDirect: Bool, workBytes: Int
  ) {
    /// Each part begins at a multiple of 64 bytes.
    func aligned(_ count: Int) -> Int { (count + 15) / 16 * 16 }
    window = aligned(kernel.time * (height + kernel.height - 1) * (width + kernel.width - 1) * channels)
    work = aligned((workBytes + 3) / 4)
    small = isDirect ? 0 : height * width * outputs
  }
}

extension PhaseAxis {
  /// The input elements that some indices see.
  func window(of indices: Range<Int>) -> Range<Int> {
    indices.lowerBound + first..<indices.upperBound + first + count - 1
  }
}
