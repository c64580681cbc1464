import TensorCore

/// Which weights of a phase are kept in memory: a window that moves with their use. It decides and remembers; who owns it reads
/// ahead and lets go, or only counts.
struct WeightWindow {
  /// Smaller tensors are not worth a system call.
  static let smallest = 1 << 16

  private let windowBytes: Int
  private var registered: [Weight] = []
  private(set) var order: [Weight] = []
  private var positions: [String: Int] = [:]
  private(set) var used: Set<String> = []
  /// The position in use (-1 before the first), and the first not yet asked for.
  private var current = -1
  private var ahead = 0
  /// Positions that are kept: those used or passed over, by when that was, the last one last. Networks go back in the order of their
  /// building (a block's second stream, a projection that two streams share), so that what is let go depends on when it was used,
  /// not on where it stands.
  private var kept: [Int] = []
  private var keptBytes = 0
  /// The first position beyond all that were used; what is read ahead begins there.
  private var passed = 0
  /// Weights that have served, by position: not read ahead any more. One that is used all the same is read then.
  private var served: Set<Int> = []
  /// The positions of the last weights before decisions; nil where decisions do not matter. Learned in the first pass.
  private var stops: Set<Int>?

  /// The last position that may be read ahead of the one in use.
  private var limit: Int {
    guard let stops else { return order.count - 1 }
    // The first decision of the phase is still to come.
    if stops.isEmpty { return current }
    return stops.filter { $0 >= current }.min() ?? order.count - 1
  }

  /// - Parameter windowBytes: how much is read ahead of the weight in use, and how much is kept behind it.
  init(windowBytes: Int) { self.windowBytes = windowBytes }

  /// Adds a weight to the order of use.
  mutating func register(_ weight: Weight) {
    if weight.tensor.byteCount >= Self.smallest { registered.append(weight) }
  }

  /// Begins a phase that does without the weights of `other` phases.
  /// - Parameter stopsAtDecisions: whether passes may leave out what follows a decision.
  /// - Returns: the weights to let go.
  mutating func beginPhase(excluding other: Set<String>, stopsAtDecisions: Bool) -> [Weight] {
    let released = order
    order = registered.filter { !other.contains($0.name) }
    used.removeAll()
    positions = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($0.element.name, $0.offset) })
    (current, ahead) = (-1, 0)
    (kept, keptBytes, passed) = ([], 0, 0)
    served.removeAll()
    stops = stopsAtDecisions ? [] : nil
    return released
  }

  /// Notes that a weight is not used again in this phase.
  mutating func serve(_ weight: Weight) {
    if let position = positions[weight.name] { served.insert(position) }
  }

  /// The names of the weights that have served.
  var servedNames: Set<String> { Set(served.map { order[$0].name }) }

  /// Notes that what follows may be left out.
  mutating func stopHere() { _ = stops?.insert(current) }

  /// Moves the window to a weight that is about to be read.
  mutating func move(to weight: Weight) -> (prefetched: [Weight], released: [Weight]) {
    guard let position = positions[weight.name] else { return ([], []) }
    used.insert(weight.name)
    var released: [Int] = []
    if position + order.count / 2 < current {
      // The next step has begun.
      released = kept + Array(passed..<max(ahead, passed))
      (kept, keptBytes, passed, ahead) = ([], 0, position, position)
    }
    current = position
    ahead = max(ahead, position)
    // What has been let go is asked for again at once.
    let isMissing = (position < passed || served.contains(position)) && !kept.contains(position)
    var prefetched = isMissing ? [position] : []
    var bytes = (position..<ahead).filter { !served.contains($0) }.reduce(0) { $0 + order[$1].tensor.byteCount }
    let limit = limit
    while ahead <= limit, bytes < windowBytes {
      if !served.contains(ahead) {
        bytes += order[ahead].tensor.byteCount
        prefetched.append(ahead)
      }
      ahead += 1
    }
    while passed < position {
      if !served.contains(passed) { keep(passed) }
      passed += 1
    }
    keep(position)
    passed = max(passed, position + 1)
    // The one in use is none of those behind it.
    while kept.count > 1, keptBytes - order[position].tensor.byteCount > windowBytes {
      let oldest = kept.removeFirst()
      keptBytes -= order[oldest].tensor.byteCount
      released.append(oldest)
    }
    return (prefetched.map { order[$0] }, released.map { order[$0] })
  }

  /// Makes a position the last one used.
  private mutating func keep(_ position: Int) {
    if let known = kept.lastIndex(of: position) {
      kept.remove(at: known)
    } else {
      keptBytes += order[position].tensor.byteCount
    }
    kept.append(position)
  }
}
