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
    public let seconds: Double
  }

  public let provenance: Provenance
  public private(set) var timings: [Timing]
  private var index: [PlannedOperation: Double]

  public init(provenance: Provenance, timings: [Timing] = []) {
    self.provenance = provenance
    self.timings = timings
    index = Dictionary(timings.map { ($0.operation, $0.seconds) }) { $1 }
  }

  private enum CodingKeys: String, CodingKey { case provenance, timings }

  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      provenance: try values.decode(Provenance.self, forKey: .provenance),
      timings: try values.decode([Timing].self, forKey: .timings).filter { $0.seconds.isFinite && $0.seconds >= 0 })
  }

  // MARK: Answers

  /// The time of some operations, and what of it rests on other operations than these.
  public func seconds(of work: OperationCounts) -> (seconds: Double, guessed: Double) {
    work.calls.reduce(into: (0, 0)) { sum, entry in
      let probe = entry.key.probe
      let calls = Double(entry.value)
      if let known = index[probe] {
        sum.0 += calls * known * scale(entry.key, probe)
      } else {
        let guess = calls * guess(entry.key)
        sum.0 += guess
        sum.1 += guess
      }
    }
  }

  private func scale(_ operation: PlannedOperation, _ probe: PlannedOperation) -> Double {
    operation == probe ? 1 : operation.amount / max(probe.amount, 1)
  }

  /// From the most alike operation that was timed, else from what a small processor reaches.
  private func guess(_ operation: PlannedOperation) -> Double {
    let alike = timings.filter { $0.operation.kind == operation.kind }
    let nearest = alike.min { distance($0.operation, operation) < distance($1.operation, operation) }
    if let nearest { return nearest.seconds * operation.amount / max(nearest.operation.amount, 1) }
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

  /// Of all, so much may stay guessed: it is not worth the time.
  private static let negligible = 0.01

  /// Times what has not been timed, what weighs most first, for at most so many seconds.
  /// - Parameter work: how often each operation will be done.
  public mutating func measure(_ work: OperationCounts, on backend: any Backend, forAtMost budget: Double) throws {
    var weights: [PlannedOperation: Double] = [:]
    for (operation, calls) in work.calls where index[operation.probe] == nil {
      weights[operation.probe, default: 0] += Double(calls) * guess(operation)
    }
    let clock = ContinuousClock()
    let start = clock.now
    let runner = OperationRunner(backend: backend)
    var left = weights.values.reduce(0, +)
    let all = seconds(of: work).seconds
    for (probe, weight) in weights.sorted(by: { ($0.value, "\($0.key)") > ($1.value, "\($1.key)") }) {
      if start.duration(to: clock.now) / .seconds(1) > budget || left < Self.negligible * all { return }
      left -= weight
      guard let body = try runner.work(of: probe) else { continue }
      let seconds = try Self.time(body)
      index[probe] = seconds
      timings.append(Timing(operation: probe, seconds: seconds))
    }
  }

  /// The mean of some runs after a first, without the slowest: what others take of the machine counts, an accident does not.
  private static func time(_ body: () throws -> Void) throws -> Double {
    let clock = ContinuousClock()
    func once() throws -> Double { try clock.measure(body) / .seconds(1) }
    let first = try once()
    var times: [Double] = []
    var total = first
    // Long operations are steady; short ones need more runs than their noise.
    while times.count < 3 || (total < 0.02 && times.count < 40) {
      let seconds = try once()
      times.append(seconds)
      total += seconds
    }
    let counted = times.sorted().dropLast(max(times.count / 10, 1))
    return counted.reduce(0, +) / Double(counted.count)
  }
}
