import Dispatch
public import Layers
import Synchronization
public import TensorCore

/// Keeps a window of a network's weights in memory: those that come next are read while the present one computes, those
/// that were used are let go. Whatever the size of the checkpoint, resident memory is two windows.
///
/// Weights are in the order in which the network was built, which is the order of use. What only another phase uses
/// (text refinement) is left out of a phase's order; what a phase uses once (modulation) is left out after that.
///
/// Where a step may go on without its blocks, reading stops at the decision until a weight beyond it is used: steps that a
/// cache skips read nothing that they do not use.
public final class WeightReadAhead: WeightStreaming {
  private let state: Mutex<WeightWindow>
  private let profiler = Mutex<Profiler?>(nil)
  /// Reading ahead may wait for the disk, which the computing threads should not.
  private let reader = DispatchQueue(label: "weights")
  public let windowBytes: Int

  /// - Parameter windowBytes: how much is read ahead of the weight in use, and how much is kept behind it.
  public init(windowBytes: Int) {
    self.windowBytes = windowBytes
    state = Mutex(WeightWindow(windowBytes: windowBytes))
  }

  /// Tells a profiler of what is read from now on.
  public func report(to profiler: Profiler) { self.profiler.withLock { $0 = profiler } }

  /// Adds a weight to the order; call while a network is built.
  public func register(_ weight: Weight) { state.withLock { $0.register(weight) } }

  /// The names of the weights that the present phase has used.
  public var used: Set<String> { state.withLock { $0.used } }

  /// The names of the weights that the present phase does not use again.
  public var served: Set<String> { state.withLock { $0.servedNames } }

  /// Begins a phase: everything is let go, and the weights of `other` phases are left out of the order.
  /// - Parameter stopsAtDecisions: whether passes may leave out what follows a decision. Without, reading goes on through
  ///   decisions, which is a little faster where every step is computed. A phase in which nothing is decided reads each weight as it
  ///   is used and nothing ahead of it.
  public func beginPhase(excluding other: Set<String> = [], stopsAtDecisions: Bool = false) {
    state.withLock { state in
      for weight in state.beginPhase(excluding: other, stopsAtDecisions: stopsAtDecisions) { weight.release() }
    }
  }

  /// Lets everything go and forgets it, when a network is gone.
  public func reset() {
    state.withLock { state in
      for weight in state.order { weight.release() }
      state = WeightWindow(windowBytes: windowBytes)
    }
  }

  /// Returns when all that should be read ahead by now has been asked for.
  public func drain() { reader.sync {} }

  public func didServe(_ weight: Weight) { state.withLock { $0.serve(weight) } }

  public func willDecide() { state.withLock { $0.stopHere() } }

  public func willUse(_ weight: Weight) {
    let (prefetched, released) = state.withLock { $0.move(to: weight) }
    for weight in released { weight.release() }
    if prefetched.isEmpty { return }
    let profiler = profiler.withLock { $0 }
    reader.async {
      for weight in prefetched {
        let start = ProfileMoment(time: Profiler.now)
        weight.prefetch()
        profiler?.recordWeights(weight.name, since: start, bytes: weight.tensor.byteCount)
      }
    }
  }
}
