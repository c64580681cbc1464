import Dispatch
public import Layers
import Synchronization
public import TensorCore

/// Keeps a window of a network's weights in memory: those that come next are read while the present one computes, those
/// that were used are let go. Whatever the size of the checkpoint, resident memory is two windows.
///
/// Weights are in the order in which the network was built, which is the order of use. What only another phase uses
/// (modulation, text refinement) is left out of a phase's order.
///
/// Where a step may go on without its blocks, reading stops at the decision until a weight beyond it is used: steps that a
/// cache skips read nothing that they do not use.
public final class WeightReadAhead: WeightStreaming {
  private struct State {
    var registered: [Weight] = []
    var order: [Weight] = []
    var positions: [String: Int] = [:]
    var used: Set<String> = []
    /// The position in use (-1 before the first), the first not yet asked for, and the first not yet let go.
    var current = -1
    var ahead = 0
    var behind = 0
    /// The positions of the last weights before decisions; nil where decisions do not matter. Learned in the first pass.
    var stops: Set<Int>?

    /// The last position that may be read ahead of the one in use.
    var limit: Int {
      guard let stops else { return order.count - 1 }
      // The first decision of the phase is still to come.
      if stops.isEmpty { return current }
      return stops.filter { $0 >= current }.min() ?? order.count - 1
    }
  }

  /// Smaller tensors are not worth a system call.
  private static let smallest = 1 << 16

  private let state = Mutex(State())
  /// Reading ahead may wait for the disk, which the computing threads should not.
  private let reader = DispatchQueue(label: "weights")
  public let windowBytes: Int

  /// - Parameter windowBytes: how much is read ahead of the weight in use, and how much is kept behind it.
  public init(windowBytes: Int) { self.windowBytes = windowBytes }

  /// Adds a weight to the order; call while a network is built.
  public func register(_ weight: Weight) {
    if weight.tensor.byteCount < Self.smallest { return }
    state.withLock { state in
      state.registered.append(weight)
    }
  }

  /// The names of the weights that the present phase has used.
  public var used: Set<String> { state.withLock { $0.used } }

  /// Begins a phase: everything is let go, and the weights of `other` phases are left out of the order.
  /// - Parameter stopsAtDecisions: whether passes may leave out what follows a decision. Without, reading goes on through
  ///   decisions, which is a little faster where every step is computed.
  public func beginPhase(excluding other: Set<String> = [], stopsAtDecisions: Bool = false) {
    state.withLock { state in
      for weight in state.order { weight.release() }
      state.order = state.registered.filter { !other.contains($0.name) }
      state.used.removeAll()
      state.positions = Dictionary(uniqueKeysWithValues: state.order.enumerated().map { ($0.element.name, $0.offset) })
      (state.current, state.ahead, state.behind) = (-1, 0, 0)
      state.stops = stopsAtDecisions ? [] : nil
    }
  }

  /// Lets everything go and forgets it, when a network is gone.
  public func reset() {
    state.withLock { state in
      for weight in state.order { weight.release() }
      state = State()
    }
  }

  /// Returns when all that should be read ahead by now has been asked for.
  public func drain() { reader.sync {} }

  public func willDecide() {
    state.withLock { state in _ = state.stops?.insert(state.current) }
  }

  public func willUse(_ weight: Weight) {
    let (prefetched, released) = state.withLock { state -> ([Weight], [Weight]) in
      guard let position = state.positions[weight.name] else { return ([], []) }
      state.used.insert(weight.name)
      var released: [Weight] = []
      if position + state.order.count / 2 < state.current {
        // The next step has begun.
        released += state.order[state.behind...]
        (state.ahead, state.behind) = (position, position)
      }
      state.current = position
      state.ahead = max(state.ahead, position)
      var prefetched: [Weight] = []
      var bytes = state.order[position..<state.ahead].reduce(0) { $0 + $1.tensor.byteCount }
      let limit = state.limit
      while state.ahead <= limit, bytes < windowBytes {
        bytes += state.order[state.ahead].tensor.byteCount
        prefetched.append(state.order[state.ahead])
        state.ahead += 1
      }
      bytes = state.order[min(state.behind, position)..<position].reduce(0) { $0 + $1.tensor.byteCount }
      while state.behind < position, bytes > windowBytes {
        bytes -= state.order[state.behind].tensor.byteCount
        released.append(state.order[state.behind])
        state.behind += 1
      }
      return (prefetched, released)
    }
    for weight in released { weight.release() }
    if !prefetched.isEmpty { reader.async { for weight in prefetched { weight.prefetch() } } }
  }
}
