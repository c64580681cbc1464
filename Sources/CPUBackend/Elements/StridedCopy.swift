import TensorCore

/// Copies elements between two layouts of one shape.
struct StridedCopy {
  private struct Axis {
    var extent: Int
    var source: Int
    var target: Int
  }

  private let source: UnsafeRawPointer
  private let target: UnsafeMutableRawPointer
  private let elementBytes: Int
  private var axes: [Axis]

  /// - Precondition: shapes and types agree.
  init(from source: Tensor, to target: Tensor) {
    precondition(source.shape == target.shape && source.dtype == target.dtype, "copy: \(source) to \(target)")
    self.source = source.hostPointer
    self.target = target.mutableHostPointer
    elementBytes = source.dtype.byteCount
    // In the order of the target's memory; axes that are neighbours in both become one.
    axes = (0..<source.shape.rank).filter { source.shape[$0] != 1 }
      .map { Axis(extent: source.shape[$0], source: source.strides[$0], target: target.strides[$0]) }
      .sorted { $0.target > $1.target }
    for index in stride(from: axes.count - 1, to: 0, by: -1) {
      let (outer, inner) = (axes[index - 1], axes[index])
      if outer.source == inner.source * inner.extent && outer.target == inner.target * inner.extent {
        axes[index - 1] = Axis(extent: outer.extent * inner.extent, source: inner.source, target: inner.target)
        axes.remove(at: index)
      }
    }
  }

  /// Copies everything.
  func run(on pool: WorkerPool) {
    if axes.contains(where: { $0.extent == 0 }) { return }
    guard let inner = axes.last else {
      target.copyMemory(from: source, byteCount: elementBytes)
      return
    }
    let outer = Array(axes.dropLast())
    if inner.source == 1 && inner.target == 1 {
      copyRows(outer, inner, on: pool)
    } else {
      switch elementBytes {
      case 1: copyTiles(UInt8.self, outer, inner, on: pool)
      case 2: copyTiles(UInt16.self, outer, inner, on: pool)
      case 4: copyTiles(UInt32.self, outer, inner, on: pool)
      default: copyTiles(UInt64.self, outer, inner, on: pool)
      }
    }
  }

  /// The positions of an outer index in both layouts.
  private static func position(_ index: Int, _ axes: [Axis]) -> (source: Int, target: Int) {
    var (source, target, rest) = (0, 0, index)
    for axis in axes.reversed() {
      let coordinate = rest % axis.extent
      rest /= axis.extent
      source += coordinate * axis.source
      target += coordinate * axis.target
    }
    return (source, target)
  }

  private func copyRows(_ outer: [Axis], _ inner: Axis, on pool: WorkerPool) {
    let rows = outer.reduce(1) { $0 * $1.extent }
    let bytes = inner.extent * elementBytes
    // A single long row is divided too.
    let piece = rows >= 4 * pool.threads ? bytes : max(1 << 16, (bytes + 4 * pool.threads - 1) / (4 * pool.threads))
    let pieces = (bytes + piece - 1) / piece
    pool.parallelRanges(count: rows * pieces, grain: max(1, (1 << 16) / piece)) { range in
      for index in range {
        let (from, to) = StridedCopy.position(index / pieces, outer)
        let start = index % pieces * piece
        (target + to * elementBytes + start).copyMemory(
          from: source + from * elementBytes + start, byteCount: min(piece, bytes - start))
      }
    }
  }

  /// Copies with the target's innermost axis against the source's: in small squares, so that both are read and written
  /// in whole cache lines.
  private func copyTiles<Element>(_: Element.Type, _ outer: [Axis], _ inner: Axis, on pool: WorkerPool) {
    let across = outer.indices.min { outer[$0].source < outer[$1].source }
    var others = outer
    let cross = across.map { others.remove(at: $0) } ?? Axis(extent: 1, source: 0, target: 0)
    let side = 32
    let bands = (cross.extent + side - 1) / side
    let count = others.reduce(1) { $0 * $1.extent } * bands
    let source = source.assumingMemoryBound(to: Element.self)
    let target = target.assumingMemoryBound(to: Element.self)
    pool.parallelRanges(count: count, grain: max(1, 16384 / (min(side, cross.extent) * inner.extent))) { range in
      for index in range {
        let (from, to) = StridedCopy.position(index / bands, others)
        let first = index % bands * side
        let last = min(first + side, cross.extent)
        for start in stride(from: 0, to: inner.extent, by: side) {
          let end = min(start + side, inner.extent)
          for row in first..<last {
            let read = source + from + row * cross.source
            let write = target + to + row * cross.target
            for column in start..<end { write[column * inner.target] = read[column * inner.source] }
          }
        }
      }
    }
  }
}
