import AscendBackend
import Layers
import Synchronization

/// Tells a profiler that watches the process of stages and steps, as ranges, and of the ends of blocks, as marks; and another
/// recorder of the same.
final class ToolRecorder: ForwardRecorder {
  private let base: any ForwardRecorder
  private let ranges: ToolRanges
  private let open = Mutex<[(span: RunSpan, range: UInt64)]>([])

  init(_ base: any ForwardRecorder, marking ranges: ToolRanges) {
    (self.base, self.ranges) = (base, ranges)
  }

  /// Ends what a failure has left open: nobody else will.
  deinit {
    for (_, range) in open.withLock({ $0 }).reversed() { ranges.finish(range) }
  }

  func begin(_ span: RunSpan, _ name: String) {
    base.begin(span, name)
    let range = ranges.begin(name)
    open.withLock { $0.append((span, range)) }
  }

  func end(_ span: RunSpan, skipped: Bool) {
    // What a failure left open ends with what it lies in.
    let ended = open.withLock { open in
      let first = open.lastIndex { $0.span == span } ?? open.endIndex
      defer { open.removeSubrange(first...) }
      return open[first...].reversed().map(\.range)
    }
    for range in ended { ranges.finish(range) }
    base.end(span, skipped: skipped)
  }

  func blockDidEnd(_ block: BlockName) {
    ranges.mark("\(block)")
    base.blockDidEnd(block)
  }
}
