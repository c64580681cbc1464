import Generation
import Synchronization
import TensorCore
import Testing

@Suite struct WeightReadAheadTests {
  /// Memory that remembers what was asked of it.
  private final class RecordingStorage: Storage {
    let name: String
    let byteCount: Int
    let log: Log
    init(_ name: String, byteCount: Int, log: Log) { (self.name, self.byteCount, self.log) = (name, byteCount, log) }
    var hostAddress: UnsafeMutableRawPointer? { nil }
    func prefetch(_ bytes: Range<Int>) { log.add("+\(name)") }
    func release(_ bytes: Range<Int>) { log.add("-\(name)") }
  }

  private final class Log: Sendable {
    private let entries = Mutex<[String]>([])
    func add(_ entry: String) { entries.withLock { $0.append(entry) } }
    var all: [String] { entries.withLock { $0 } }
    /// What was read and not let go since.
    var held: Set<String> {
      all.reduce(into: []) { held, entry in
        let name = String(entry.dropFirst())
        if entry.hasPrefix("+") { held.insert(name) } else { held.remove(name) }
      }
    }
    /// Waits for the reading thread, for at most a second.
    func waits(for entry: String) async throws -> Bool {
      for _ in 0..<200 {
        if all.contains(entry) { return true }
        try await Task.sleep(for: .milliseconds(5))
      }
      return false
    }
  }

  private func weights(_ count: Int, log: Log) -> [Weight] {
    (0..<count).map { index in
      let storage = RecordingStorage("w\(index)", byteCount: 1 << 20, log: log)
      return Weight(name: "w\(index)", tensor: Tensor(shape: [1 << 18], dtype: .float32, storage: storage))
    }
  }

  @Test func `a window ahead is read and a window behind is kept`() async throws {
    let log = Log()
    let weights = weights(8, log: log)
    let stream = WeightReadAhead(windowBytes: 2 << 20)
    weights.forEach(stream.register)
    stream.beginPhase()
    stream.willUse(weights[0])
    #expect(try await log.waits(for: "+w1"))
    #expect(!log.all.contains("+w3"))
    for index in 1..<8 { stream.willUse(weights[index]) }
    #expect(try await log.waits(for: "+w7"))
    let released = log.all.filter { $0.hasPrefix("-") }
    #expect(released == ["-w0", "-w1", "-w2", "-w3", "-w4"])
  }

  /// Two streams of a block take turns: the order of use is not that of building.
  @Test(arguments: [1, 2, 3])
  func `what a block went back to is let go, too`(_ windowMegabytes: Int) {
    let log = Log()
    let weights = weights(12, log: log)
    let stream = WeightReadAhead(windowBytes: windowMegabytes << 20)
    weights.forEach(stream.register)
    stream.beginPhase()
    for pass in 0..<2 {
      for block in [0, 6] {
        for index in [0, 3, 1, 4, 2, 5] {
          stream.willUse(weights[block + index])
          stream.drain()
          #expect(log.held.contains("w\(block + index)"))
        }
      }
      #expect(log.held.isDisjoint(with: (0..<6).map { "w\($0)" }), "pass \(pass) leaves \(log.held)")
      #expect(log.held.count <= windowMegabytes + 1, "pass \(pass) leaves \(log.held)")
    }
  }

  @Test func `each weight is read once in a step and again in the next`() async throws {
    let log = Log()
    let weights = weights(6, log: log)
    let stream = WeightReadAhead(windowBytes: 1 << 20)
    weights.forEach(stream.register)
    stream.beginPhase()
    for _ in 0..<3 { weights.forEach(stream.willUse) }
    #expect(try await log.waits(for: "+w5"))
    for _ in 0..<100 where log.all.filter({ $0 == "+w5" }).count < 3 { try await Task.sleep(for: .milliseconds(5)) }
    for index in 0..<6 { #expect(log.all.filter { $0 == "+w\(index)" }.count == 3) }
  }

  @Test func `a phase leaves out what only another phase uses`() async throws {
    let log = Log()
    let weights = weights(4, log: log)
    let stream = WeightReadAhead(windowBytes: 64 << 20)
    weights.forEach(stream.register)
    stream.beginPhase()
    stream.willUse(weights[1])
    #expect(try await log.waits(for: "+w3"))
    stream.beginPhase(excluding: stream.used)
    let before = log.all.count
    stream.willUse(weights[0])
    #expect(try await log.waits(for: "+w0"))
    for _ in 0..<100 where log.all.last != "+w3" { try await Task.sleep(for: .milliseconds(5)) }
    #expect(Array(log.all[before...]) == ["+w0", "+w2", "+w3"])
  }

  @Test func `a phase that uses few of the weights reads those alone`() {
    let log = Log()
    let weights = weights(9, log: log)
    let stream = WeightReadAhead(windowBytes: 64 << 20)
    weights.forEach(stream.register)
    stream.beginPhase(stopsAtDecisions: true)
    for index in [0, 4, 8] { stream.willUse(weights[index]) }
    stream.drain()
    #expect(log.all == ["+w0", "+w4", "+w8"])
    stream.beginPhase(excluding: stream.used)
    stream.willUse(weights[1])
    stream.drain()
    #expect(log.held == ["w1", "w2", "w3", "w5", "w6", "w7"])
  }

  @Test(arguments: [1, 2, 64])
  func `what has served is not read ahead again, but when it is used all the same`(_ windowMegabytes: Int) {
    let log = Log()
    let weights = weights(6, log: log)
    let stream = WeightReadAhead(windowBytes: windowMegabytes << 20)
    weights.forEach(stream.register)
    stream.beginPhase()
    func count(_ index: Int) -> Int { log.all.count { $0 == "+w\(index)" } }
    func use(_ index: Int) {
      stream.willUse(weights[index])
      stream.drain()
      #expect(log.held.contains("w\(index)"))
    }
    // The first step uses all, w1 and w4 for the last time.
    for index in 0..<6 {
      use(index)
      if index % 3 == 1 { stream.didServe(weights[index]) }
    }
    #expect(stream.served == ["w1", "w4"])
    for _ in 0..<2 { for index in [0, 2, 3, 5] { use(index) } }
    #expect(log.held.isDisjoint(with: ["w1", "w4"]))
    #expect((0..<6).map(count) == [3, 1, 3, 3, 1, 3])
    // A second pass of the same step.
    for index in 0..<6 { use(index) }
    #expect((0..<6).map(count) == [4, 2, 4, 4, 2, 4])
    #expect(log.held.count <= windowMegabytes + 1)
    stream.beginPhase()
    #expect(stream.served.isEmpty && log.held.isEmpty)
  }

  @Test func `small weights are left to the system`() {
    let log = Log()
    let storage = RecordingStorage("bias", byteCount: 4096, log: log)
    let bias = Weight(name: "bias", tensor: Tensor(shape: [1024], dtype: .float32, storage: storage))
    let stream = WeightReadAhead(windowBytes: 1 << 20)
    stream.register(bias)
    stream.beginPhase()
    stream.willUse(bias)
    stream.reset()
    #expect(log.all.isEmpty)
  }
}
