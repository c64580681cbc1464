import TensorCore
import TensorOps

/// A convolution of rows and columns by Winograd's minimal filtering. A task copies the window of a block of some frames into its
/// memory and goes through four rows of positions: it transforms the window, lets oneDNN multiply, and adds what comes of it to the
/// result. Only numbers of one row of positions are in memory at a time.
struct WinogradConvolution {
  private let extents: WinogradExtents
  private let input: Clip
  private let norm: InputNorm?
  private let bias: Scratch
  private let residual: Clip?
  private let result: Clip
  /// For chunks of as many frames as most have, and for the last, which may have fewer.
  private let full: Products
  private let last: Products

  private struct Products {
    let convolution: PreparedConvolution
    let weights: Scratch
  }

  init(
    _ extents: WinogradExtents, _ weight: Weight, input: Clip, norm: InputNorm?, bias: Scratch, residual: Tensor?,
    result: Tensor, _ packed: PackedWeights, _ library: ConvolutionLibrary, _ workspace: Workspace
  ) throws(BackendError) {
    self.extents = extents
    self.input = input
    self.norm = norm
    self.residual = residual.map { Clip($0) }
    self.result = Clip(result)
    func prepare(frames: Int) throws(BackendError) -> Products {
      let convolution = try library.convolution(extents.key(frames: frames), in: workspace)
      return Products(
        convolution: convolution, weights: try packed.winograd(weight, extents, for: convolution, in: workspace))
    }
    let full = try prepare(frames: extents.chunk)
    last = extents.lastChunk == extents.chunk ? full : try prepare(frames: extents.lastChunk)
    self.full = full
    // The product of position (1, 1) is added to all four pixels of a tile, so the bias goes there; zeros for the others.
    let biases = workspace.scratch(extents.outputs + extents.group)
    workspace.serially {
      biases.floats.update(from: bias.floats, count: extents.outputs)
      (biases.floats + extents.outputs).update(repeating: 0, count: extents.group)
    }
    self.bias = withExtendedLifetime(bias) { biases }
  }

  func run(in workspace: Workspace) throws(BackendError) {
    let blocks = extents.blockRows * extents.blockColumns
    let places = input.batch * extents.chunks * blocks
    // Groups outermost: threads that are at the same group share its weights in their common cache.
    let workBytes = max(full.convolution.scratchBytes, last.convolution.scratchBytes)
    try workspace.parallel(
      count: extents.tasks, scratch: extents.scratchCount(workBytes: workBytes)
    ) { (index, memory) throws(BackendError) in
      let (first, place) = (index / places * extents.groupsPerTask, index % places)
      let (item, chunk, block) = (place / blocks / extents.chunks, place / blocks % extents.chunks, place % blocks)
      let start = chunk * extents.chunk
      try compute(
        item: item, frames: start..<min(start + extents.chunk, extents.frames),
        row: block / extents.blockColumns * extents.tileRows * 2,
        column: block % extents.blockColumns * extents.tileColumns * 2,
        groups: first..<first + extents.groupsPerTask, memory)
    }
  }

  /// A block of some frames, which begins at a pixel.
  private func compute(
    item: Int, frames: Range<Int>, row: Int, column: Int, groups: Range<Int>, _ memory: UnsafeMutablePointer<Float>
  ) throws(BackendError) {
    let transformed = memory + extents.windowCount
    let products = transformed + WinogradExtents.positions * extents.transformedCount
    let work = products + WinogradExtents.positions * extents.productCount
    input.copy(
      item: item, frames: frames.lowerBound - 2..<frames.upperBound,
      rows: row - 1..<row - 1 + extents.windowRows, columns: column - 1..<column - 1 + extents.windowColumns,
      norm: norm?.normalization(item: item, channels: input.channels), to: memory)
    let window = WinogradInput(extents: extents, window: UnsafePointer(memory), frames: frames.count + 2)
    let step = frames.count == extents.chunk ? full : last
    let stride = extents.packedStride(weightBytes: step.convolution.weightBytes)
    for position in 0..<WinogradExtents.positions {
      window.transform(row: position, to: transformed, stride: extents.transformedCount)
      for group in groups {
        for other in 0..<WinogradExtents.positions {
          let index = (group * WinogradExtents.positions + position) * WinogradExtents.positions + other
          let hasBias = position == 1 && other == 1
          try step.convolution.run(
            transformed + other * extents.transformedCount, weights: step.weights.floats + index * stride,
            bias: bias.floats + (hasBias ? group * extents.group : extents.outputs),
            to: products + other * extents.productCount, scratch: work)
        }
        add(products, position, item: item, frames: frames, row: row, column: column, group: group)
      }
    }
  }

  /// Adds the products of a row of positions to the pixels of a block.
  private func add(
    _ products: UnsafeMutablePointer<Float>, _ position: Int, item: Int, frames: Range<Int>, row: Int, column: Int,
    group: Int
  ) {
    let (count, stride) = (extents.group, extents.productCount)
    var place = products
    for frame in frames {
      for tileRow in 0..<extents.tileRows {
        for tileColumn in 0..<extents.tileColumns {
          // What the last product's place held is not needed any more.
          let right = place + 3 * stride
          WinogradOutput.combine(count, place, stride: stride, right: right)
          for line in 0..<2 where WinogradOutput.reaches(position: position, line: line) {
            let y = row + 2 * tileRow + line
            if y >= input.height { continue }
            for (side, part) in [place, right].enumerated() {
              let x = column + 2 * tileColumn + side
              if x >= input.width { continue }
              let start = x * result.channels + group * count
              WinogradOutput.add(
                count, UnsafePointer(part), position: position, line: line,
                residual: (residual?.row(item, frame, y)).map { UnsafePointer($0 + start) },
                to: result.row(item, frame, y) + start)
            }
          }
          place += count
        }
      }
    }
  }
}
