import Layers
import Synchronization
import TensorCore
import TensorOps

/// Follows which weights are in memory when they are read ahead, without reading any.
final class PlannedStreaming: WeightStreaming {
  private let window: Mutex<WeightWindow>
  private let memory: PlanningMemory
  private let windowBytes: Int

  init(windowBytes: Int, in memory: PlanningMemory) {
    self.windowBytes = windowBytes
    self.memory = memory
    window = Mutex(WeightWindow(windowBytes: windowBytes))
  }

  func register(_ weights: [Weight]) { window.withLock { window in weights.forEach { window.register($0) } } }

  var used: Set<String> { window.withLock { $0.used } }

  func beginPhase(excluding other: Set<String> = [], stopsAtDecisions: Bool = false) {
    let released = window.withLock { $0.beginPhase(excluding: other, stopsAtDecisions: stopsAtDecisions) }
    for weight in released { memory.release(weight) }
  }

  func willDecide() { window.withLock { $0.stopHere() } }

  func reset() { window.withLock { $0 = WeightWindow(windowBytes: windowBytes) } }

  func willUse(_ weight: Weight) {
    for weight in window.withLock({ $0.move(to: weight) }).released { memory.release(weight) }
  }
}
