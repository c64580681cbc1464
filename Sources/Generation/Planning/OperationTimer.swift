import TensorCore
import TensorOps

/// Times some operations in turns, as a network does them: each finds the caches full of what others left, and what others take of
/// the machine for a while does not fall on one of them alone.
struct OperationTimer {
  private struct Entry {
    let operation: PlannedOperation
    let body: () throws -> Void
    let first: Double
    var times: [Double] = []
    var total = 0.0

    /// Long operations are steady; short ones need more calls than their noise.
    var isDone: Bool { times.count >= 3 && (total >= OperationTimer.seconds || times.count >= 40) }
  }

  private let newMemorySecondsPerByte: Double
  private var entries: [Entry] = []
  private let bytesBefore = HostBufferPool.shared.statistics.bytesInUse

  /// - Parameter newMemorySecondsPerByte: what is not a first call's own.
  init(newMemorySecondsPerByte: Double) { self.newMemorySecondsPerByte = newMemorySecondsPerByte }

  /// As many as there are in a block, where their inputs are small beside what a run needs.
  var isFull: Bool { entries.count >= 8 || HostBufferPool.shared.statistics.bytesInUse > bytesBefore + 64 << 20 }

  /// What calls of one operation take together at least, unless they are very short.
  private static let seconds = 0.02

  /// What finishing will take.
  var secondsLeft: Double { entries.reduce(0) { $0 + max(Self.seconds, 4 * $1.first) } }

  /// Does the operation for the first time.
  mutating func add(_ operation: PlannedOperation, _ body: @escaping () throws -> Void) throws {
    let (seconds, newBytes) = try Self.time(body)
    entries.append(
      Entry(operation: operation, body: body, first: seconds - Double(newBytes) * newMemorySecondsPerByte))
  }

  /// Does all of them again and again. What was added is let go, and its memory goes back.
  mutating func finish() throws -> [OperationTimes.Timing] {
    defer {
      entries = []
      HostBufferPool.shared.trim()
    }
    // The first call's memory is there for all others.
    for entry in entries { try entry.body() }
    while entries.contains(where: { !$0.isDone }) {
      for index in entries.indices where !entries[index].isDone {
        let seconds = try Self.time(entries[index].body).seconds
        entries[index].times.append(seconds)
        entries[index].total += seconds
      }
    }
    return entries.map { entry in
      let seconds = Self.mean(entry.times)
      return OperationTimes.Timing(
        operation: entry.operation, seconds: seconds, startSeconds: max(entry.first - seconds, 0))
    }
  }

  /// What others take of the machine counts, as it will in a run; of an accident, only as much as one call may take.
  private static func mean(_ times: [Double]) -> Double {
    let most = 3 * times.sorted()[times.count / 2]
    return times.reduce(0) { $0 + min($1, most) } / Double(times.count)
  }

  private static func time(_ body: () throws -> Void) throws -> (seconds: Double, newBytes: Int) {
    let before = HostBufferPool.shared.statistics.systemBytes
    let seconds = try ContinuousClock().measure(body) / .seconds(1)
    return (seconds, HostBufferPool.shared.statistics.systemBytes - before)
  }

  // MARK: Memory

  /// What memory that is new to the process adds to an operation that writes it.
  static func newMemorySecondsPerByte(on backend: any Backend) throws -> Double {
    let x = try backend.upload(Tensor(repeating: 0.5, shape: [4 << 20]))
    func write() throws { _ = try backend.activate(x, .silu) }
    let rates = try (0..<7).map { _ in
      HostBufferPool.shared.trim()
      let (first, newBytes) = try time(write)
      return max(first - (try time(write)).seconds, 0) / Double(max(newBytes, 1))
    }
    return rates.sorted()[rates.count / 2]
  }
}
