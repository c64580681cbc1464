import Generation
import TensorOps

/// Where the times of a plan are from.
protocol PlanTiming {
  /// For people: `operations timed on this machine`.
  var source: String { get }

  /// Finds out what is missing, for at most so many seconds.
  mutating func measure(_ stages: [OperationCounts], forAtMost seconds: Double) throws

  /// The time of some operations, by what is known of them.
  func time(of work: OperationCounts) -> PlannedTime

  /// What operations that have not been done before take beyond that.
  func startSeconds(of operations: Set<PlannedOperation>) -> Double

  /// What networks do between two operations.
  var secondsPerCall: Double { get }

  /// What a stage takes beside its operations: memory that is new, messages, and weights on their way to a device.
  func transferSeconds(of stage: RunPlan.Stage, in layout: RankLayout) -> Double

  /// What reading its weights from files takes, where the system has them in memory and where they are on a slow disk.
  func readingSeconds(of stage: RunPlan.Stage) -> (fast: Double, slow: Double)
}

extension PlanTiming {
  /// The time of some operations, and what of it is guessed.
  func seconds(of work: OperationCounts) -> (seconds: Double, guessed: Double) {
    let time = time(of: work)
    return (time.seconds, time.untimed)
  }
}

/// Times of operations on the machine at hand.
struct MeasuredTiming: PlanTiming {
  private let backend: any Backend
  private var store: TimesStore

  /// - Parameters:
  ///   - kind: what tells its times from those of the same device at another precision.
  ///   - isEmpty: whether operations are timed again that have been.
  init(_ backend: any Backend, kind: String, threads: Int, isEmpty: Bool) {
    self.backend = backend
    store = TimesStore(device: kind, threads: threads, isEmpty: isEmpty)
  }

  var source: String { "operations timed on this machine" }

  mutating func measure(_ stages: [OperationCounts], forAtMost seconds: Double) throws {
    try store.measure(stages, on: backend, forAtMost: seconds)
    backend.trim()
  }

  func time(of work: OperationCounts) -> PlannedTime { store.times.time(of: work) }

  func startSeconds(of operations: Set<PlannedOperation>) -> Double { store.times.startSeconds(of: operations) }

  var secondsPerCall: Double { 2e-6 }

  func transferSeconds(of stage: RunPlan.Stage, in layout: RankLayout) -> Double {
    Double(stage.newBytes) * (store.times.newMemorySecondsPerByte ?? Rates.newMemory)
      + Double(stage.bytesSent) / Rates.link + Double(stage.messages) * Rates.message
  }

  func readingSeconds(of stage: RunPlan.Stage) -> (fast: Double, slow: Double) {
    (Double(stage.bytesRead) / Rates.weights, Double(stage.bytesRead) / Rates.slowDisk)
  }

  /// What is not timed: bytes per second of weights in the system's cache, of those on a slow disk, and of messages within a host;
  /// seconds of a message, and of a byte that is new to the process until it was timed.
  private enum Rates {
    static let newMemory = 0.4e-9
    static let weights = 3e9
    static let slowDisk = 0.25e9
    static let link = 2e9
    static let message = 20e-6
  }
}
