import Layers
import Synchronization
import TensorCore
import TensorOps

/// Follows which weights are in memory when they are read ahead, without reading any. A device with memory of its own is told, so
/// that it has them there.
final class PlannedStreaming: WeightStreaming {
  private let window: Mutex<WeightWindow>
  private let memory: PlanningMemory
  private let windowBytes: Int
  private let tellsDevice: Bool
  /// Of weights that are used in parts (a fused projection), by name: the parts, by where they begin.
  private let parts = Mutex<[String: [Int: Weight]]>([:])

  init(windowBytes: Int, in memory: PlanningMemory, tellsDevice: Bool) {
    self.tellsDevice = tellsDevice
    self.windowBytes = windowBytes
    self.memory = memory
    window = Mutex(WeightWindow(windowBytes: windowBytes))
  }

  func register(_ weights: [Weight]) { window.withLock { window in weights.forEach { window.register($0) } } }

  var used: Set<String> { window.withLock { $0.used } }

  func beginPhase(excluding other: Set<String> = [], stopsAtDecisions: Bool = false) {
    let released = window.withLock { $0.beginPhase(excluding: other, stopsAtDecisions: stopsAtDecisions) }
    for weight in released { release(weight) }
  }

  private func release(_ weight: Weight) {
    memory.release(weight)
    for part in parts.withLock({ $0[weight.name] })?.values ?? [:].values { memory.release(part) }
    if tellsDevice { weight.release() }
  }

  func didServe(_ weight: Weight) { window.withLock { $0.serve(weight) } }

  func willDecide() { window.withLock { $0.stopHere() } }

  func reset() {
    let order = window.withLock { window in
      defer { window = WeightWindow(windowBytes: windowBytes) }
      return window.order
    }
    for weight in order { release(weight) }
  }

  func willUse(_ weight: Weight) {
    let (prefetched, released) = window.withLock { $0.move(to: weight) }
    for weight in released { release(weight) }
    if !tellsDevice {
      // The host's memory knows what is used by where it begins.
      return parts.withLock { $0[weight.name, default: [:]][weight.tensor.offset] = weight }
    }
    for weight in prefetched {
      // It passes through the host's memory.
      memory.use(weight)
      memory.release(weight)
      weight.prefetch()
    }
  }
}
