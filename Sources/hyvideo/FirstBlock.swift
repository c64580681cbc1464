import Layers
import Synchronization

/// Notes when the first of a transformer's blocks ends: what comes before them (embedders) does not count.
final class FirstBlock: ForwardRecorder {
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private let found = Mutex<Double?>(nil)

  init() { start = clock.now }

  /// From the making of this to the end of the first block; 0 where none has ended.
  var seconds: Double { found.withLock { $0 } ?? 0 }

  func begin(_ span: RunSpan, _ name: String) {}

  func end(_ span: RunSpan, skipped: Bool) {}

  func blockDidEnd(_ block: BlockName) {
    guard "\(block.path)".hasSuffix("_blocks") else { return }
    let now = start.duration(to: clock.now) / .seconds(1)
    found.withLock { $0 = $0 ?? now }
  }
}
