import Foundation
public import TensorOps

/// How long operations take on this machine: those that were timed, and from them those that were not.
public struct OperationTimes: Sendable, Codable {
  /// What the times are times of; others are of no use for a run.
  public struct Provenance: Sendable, Codable, Hashable {
    public let version: String
    public let device: String
    public let processor: String
    public let threads: Int

    public init(version: String, device: String, processor: String, threads: Int) {
      (self.version, self.device, self.processor, self.threads) = (version, device, processor, threads)
    }
  }

  /// An operation and the seconds that it took.
  public struct Timing: Sendable, Codable {
    public let operation: PlannedOperation
    /// Of a call among others.
    public let seconds: Double
    /// What the first call took beyond that: code is made for its shape.
    public let startSeconds: Double

    /// Whether a processor could take so long: files may hold anything.
    var isPossible: Bool {
      operation.isPossible && seconds >= 0 && seconds <= 1e-3 + 1e-6 * operation.amount
        && (0...100).contains(startSeconds)
    }
  }

  public let provenance: Provenance
  public private(set) var timings: [Timing]
  /// What memory that is new to the process adds to an operation that writes it; nil until it was timed.
  public private(set) var newMemorySecondsPerByte: Double?
  private var index: [PlannedOperation: Timing]

  public init(provenance: Provenance, timings: [Timing] = [], newMemorySecondsPerByte: Double? = nil) {
    self.provenance = provenance
    self.timings = timings
    self.newMemorySecondsPerByte = newMemorySecondsPerByte
    index = Dictionary(timings.map { ($0.operation, $0) }) { $1 }
  }

  private enum CodingKeys: String, CodingKey { case provenance, timings, newMemorySecondsPerByte }

  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      provenance: try values.decode(Provenance.self, forKey: .provenance),
      timings: try values.decode([Timing].self, forKey: .timings).filter(\.isPossible),
      newMemorySecondsPerByte: try values.decodeIfPresent(Double.self, forKey: .newMemorySecondsPerByte)
        .flatMap { (0...1e-6).contains($0) ? $0 : nil })
  }

  // MARK: Answers

  /// The time of some operations, and what of it rests on other operations than these.
  public func seconds(of work: OperationCounts) -> (seconds: Double, guessed: Double) {
    let time = time(of: work)
    return (time.seconds, time.untimed)
  }

  /// The time of some operations, by what is known of them.
  public func time(of work: OperationCounts) -> PlannedTime {
    work.calls.reduce(into: PlannedTime()) { sum, entry in
      let probe = entry.key.probe
      let calls = Double(entry.value)
      if let known = index[probe] {
        sum.timed += calls * known.seconds * scale(entry.key, probe)
      } else if let alike = mostAlike(entry.key) {
        sum.guessed += calls * seconds(of: entry.key, scaledFrom: alike)
      } else {
        sum.unfounded += calls * unfoundedGuess(entry.key)
      }
    }
  }

  /// What operations that have not been done take the first time beyond other times; those that were not timed are left out.
  public func startSeconds(of operations: some Sequence<PlannedOperation>) -> Double {
    operations.reduce(0) { $0 + (index[$1.probe]?.startSeconds ?? 0) }
  }

  private func scale(_ operation: PlannedOperation, _ probe: PlannedOperation) -> Double {
    operation == probe ? 1 : operation.amount / max(probe.amount, 1)
  }

  /// From the most alike operation that was timed, else from what a small processor reaches.
  private func guess(_ operation: PlannedOperation) -> Double {
    mostAlike(operation).map { seconds(of: operation, scaledFrom: $0) } ?? unfoundedGuess(operation)
  }

  private func mostAlike(_ operation: PlannedOperation) -> Timing? {
    let alike = timings.filter { $0.operation.kind == operation.kind }
    return alike.min { distance($0.operation, operation) < distance($1.operation, operation) }
  }

  private func seconds(of operation: PlannedOperation, scaledFrom alike: Timing) -> Double {
    alike.seconds * operation.amount / max(alike.operation.amount, 1)
  }

  private func unfoundedGuess(_ operation: PlannedOperation) -> Double {
    let threads = Double(provenance.threads)
    switch operation.kind {
    case .linear, .attention, .convolution: return 2e-6 + 2 * operation.amount / (30e9 * threads)
    case .embedding: return 1e-9 * operation.amount
    default: return 2e-6 + operation.amount / (0.5e9 * threads)
    }
  }

  private func distance(_ a: PlannedOperation, _ b: PlannedOperation) -> Double {
    let extents = zip(a.extents, b.extents).reduce(0.0) { sum, pair in
      let ratio = log(Double(max(pair.0, 1)) / Double(max(pair.1, 1)))
      return sum + ratio * ratio
    }
    return extents + (a.format == b.format ? 0 : 1)
  }

  // MARK: Measuring

  /// Times what has not been timed, what weighs most first, for at most so many seconds.
  /// - Parameter stages: how often each operation will be done in each stage.
  public mutating func measure(_ stages: [OperationCounts], on backend: any Backend, forAtMost budget: Double) throws {
    let clock = ContinuousClock()
    let start = clock.now
    func secondsLeft() -> Double { budget - start.duration(to: clock.now) / .seconds(1) }
    if newMemorySecondsPerByte == nil && budget > Self.leastBudgetForMemory {
      newMemorySecondsPerByte = try OperationTimer.newMemorySecondsPerByte(on: backend)
    }
    let runner = OperationRunner(backend: backend)
    var timer = OperationTimer(newMemorySecondsPerByte: newMemorySecondsPerByte ?? 0)
    // Operations that take no time worth knowing.
    var untimed: Set<PlannedOperation> = []
    var new: [Timing] = []
    repeat {
      // What has been timed makes better guesses of the rest.
      var guesses = guesses(of: stages)
      for probe in untimed { guesses.remove(probe) }
      for probe in guesses.byWeight where guesses.isWorthTiming(probe) && !untimed.contains(probe) {
        if secondsLeft() < 0 { break }
        guesses.remove(probe)
        guard let body = try runner.work(of: probe) else {
          untimed.insert(probe)
          continue
        }
        try timer.add(probe, body)
        if timer.isFull || timer.secondsLeft > secondsLeft() { break }
      }
      new = try timer.finish()
      timings += new
      for timing in new { index[timing.operation] = timing }
    } while !new.isEmpty
  }

  private func guesses(of stages: [OperationCounts]) -> TimeGuesses {
    TimeGuesses(
      stages.map { stage in
        let unknown = stage.calls.filter { index[$0.key.probe] == nil }
        let guessed = Dictionary(unknown.map { ($0.key.probe, Double($0.value) * guess($0.key)) }, uniquingKeysWith: +)
        return (seconds(of: stage).seconds, guessed)
      })
  }

  /// Seconds that timing has to last for before new memory is worth a part of them.
  private static let leastBudgetForMemory = 0.1
}
