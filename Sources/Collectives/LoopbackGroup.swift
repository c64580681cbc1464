import Foundation
import TensorCore

/// Ranks that are threads of one process, for tests and measurements: messages are handed over in memory, as late as a
/// network of a given speed would bring them where one is asked for.
public final class LoopbackGroup: ProcessGroup {
  public let rank: Int
  /// The ranks of this group as numbers in the whole.
  private let members: [Int]
  /// Which messages belong together: groups that were split off do not see each other's.
  private let channel: String
  private let mailbox: LoopbackMailbox
  private let meter: CommunicationMeter

  private init(rank: Int, members: [Int], channel: String, mailbox: LoopbackMailbox, meter: CommunicationMeter) {
    (self.rank, self.members, self.channel) = (rank, members, channel)
    (self.mailbox, self.meter) = (mailbox, meter)
  }

  public var size: Int { members.count }
  public var statistics: CommunicationStatistics { meter.statistics }

  /// Runs a function on each of `size` ranks at once and returns their results in order.
  /// - Parameters:
  ///   - delay: how long each message is under way.
  ///   - bandwidth: how many bytes a second a rank can send; its messages leave one after another.
  /// - Throws: the first error of any rank; the others' waits then fail too.
  public static func run<Result: Sendable>(
    _ size: Int, delay: Duration = .zero, bandwidth: Double = .infinity,
    _ body: @escaping @Sendable (LoopbackGroup) throws -> Result
  ) throws -> [Result] {
    let mailbox = LoopbackMailbox(size: size, delay: delay, bandwidth: bandwidth)
    let results = LoopbackResults<Result>(count: size)
    for rank in 0..<size {
      let thread = Thread {
        let group = LoopbackGroup(
          rank: rank, members: Array(0..<size), channel: "", mailbox: mailbox, meter: CommunicationMeter())
        do { results.finish(rank, .success(try body(group))) } catch {
          results.finish(rank, .failure(error))
          mailbox.fail("rank \(rank) failed: \(error)")
        }
      }
      thread.stackSize = 8 << 20
      thread.start()
    }
    return try results.wait()
  }

  public func transfer(
    sending: [OutgoingMessage], receiving: [IncomingMessage], pattern: TransferPattern
  ) throws(CollectiveError) -> any PendingTransfer {
    for message in sending where message.destination != rank {
      mailbox.put(message.tensor, channel, from: members[rank], to: members[message.destination])
      meter.countMessage(bytes: message.tensor.byteCount)
    }
    return LoopbackTransfer(
      group: self, own: SelfMessages(sending, rank: rank), expected: receiving, start: ContinuousClock().now)
  }

  public func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup {
    let answers = try allGather(withUnsafeBytes(of: (Int64(color), Int64(key))) { Array($0) }).map { bytes in
      bytes.withUnsafeBytes {
        (color: $0.loadUnaligned(as: Int64.self), key: $0.loadUnaligned(fromByteOffset: 8, as: Int64.self))
      }
    }
    let ranks = answers.indices.filter { answers[$0].color == color }
      .sorted { (answers[$0].key, $0) < (answers[$1].key, $1) }
    guard let place = ranks.firstIndex(of: rank) else {
      preconditionFailure("subgroup: rank \(rank) is not among the ranks of its own color")
    }
    let split = mailbox.numberOfSplit(channel, by: members[rank])
    return LoopbackGroup(
      rank: place, members: ranks.map { members[$0] }, channel: "\(channel)/\(split):\(color)", mailbox: mailbox,
      meter: meter)
  }

  public func abort(reason: String, status: Int32) { mailbox.fail("rank \(members[rank]) failed: \(reason)") }

  /// Messages that are taken out of the mailbox when somebody waits for them.
  private struct LoopbackTransfer: PendingTransfer {
    let group: LoopbackGroup
    let own: SelfMessages
    let expected: [IncomingMessage]
    let start: ContinuousClock.Instant

    func wait() throws(CollectiveError) -> [Tensor] {
      var own = own
      let clock = ContinuousClock()
      let entered = clock.now
      var arrival = start
      var received: [Tensor] = []
      for message in expected {
        if message.source == group.rank {
          received.append(own.next(message))
          continue
        }
        let (tensor, time) = try group.mailbox.take(
          group.channel, from: group.members[message.source], to: group.members[group.rank])
        precondition(
          tensor.shape == message.shape && tensor.dtype == message.dtype,
          "transfer: \(tensor) for \(message.dtype)\(message.shape)")
        arrival = max(arrival, time)
        received.append(tensor)
      }
      if expected.contains(where: { $0.source != group.rank }) {
        // What had arrived before it was waited for was not waited for.
        let left = arrival > entered ? clock.now : entered
        group.meter.countTransfer(
          from: start, to: arrival > entered ? left : arrival, waiting: entered.duration(to: left))
      }
      return received
    }
  }
}

/// What ranks that are threads have sent each other.
private final class LoopbackMailbox: @unchecked Sendable {
  // Sendable: everything that changes is guarded by a lock: what is for a rank by its box's condition, so that a message wakes
  // nobody else, the rest by `lock`.
  private struct Link: Hashable {
    let channel: String
    let from: Int
  }

  private typealias Message = (tensor: Tensor, arrival: ContinuousClock.Instant)

  private final class Box {
    let condition = NSCondition()
    var messages: [Link: [Message]] = [:]
  }

  private let boxes: [Box]
  private let delay: Duration
  private let bandwidth: Double
  private let lock = NSLock()
  /// When the last message of each rank has left.
  private var departures: [Int: ContinuousClock.Instant] = [:]
  private var splits: [Link: Int] = [:]
  private var failure: String?

  init(size: Int, delay: Duration, bandwidth: Double) {
    boxes = (0..<size).map { _ in Box() }
    (self.delay, self.bandwidth) = (delay, bandwidth)
  }

  func put(_ tensor: Tensor, _ channel: String, from: Int, to: Int) {
    let departure = lock.withLock {
      let now = ContinuousClock().now
      let departure = max(departures[from] ?? now, now).advanced(by: .seconds(Double(tensor.byteCount) / bandwidth))
      departures[from] = departure
      return departure
    }
    let box = boxes[to]
    box.condition.withLock {
      box.messages[Link(channel: channel, from: from), default: []].append((tensor, departure.advanced(by: delay)))
      box.condition.signal()
    }
  }

  /// The oldest message of a link, once its delay is over, and when that was.
  func take(
    _ channel: String, from: Int, to: Int
  ) throws(CollectiveError) -> (tensor: Tensor, arrival: ContinuousClock.Instant) {
    let link = Link(channel: channel, from: from)
    let box = boxes[to]
    var message: Message?
    var failure: String?
    box.condition.withLock {
      while true {
        failure = lock.withLock { self.failure }
        if failure != nil { return }
        if box.messages[link]?.isEmpty == false {
          message = box.messages[link]?.removeFirst()
          return
        }
        box.condition.wait()
      }
    }
    guard let message else {
      throw CollectiveError(operation: "message from rank \(from)", reason: failure ?? "no message")
    }
    let rest = ContinuousClock().now.duration(to: message.arrival) / .seconds(1)
    if rest > 0 { Thread.sleep(forTimeInterval: rest) }
    return message
  }

  /// How often a rank has split a group before: the same on all of its ranks.
  func numberOfSplit(_ channel: String, by rank: Int) -> Int {
    lock.withLock {
      splits[Link(channel: channel, from: rank), default: 0] += 1
      return splits[Link(channel: channel, from: rank), default: 0]
    }
  }

  func fail(_ reason: String) {
    lock.withLock { failure = failure ?? reason }
    for box in boxes { box.condition.withLock { box.condition.broadcast() } }
  }
}

/// The results of threads.
private final class LoopbackResults<Value: Sendable>: @unchecked Sendable {
  // Sendable: everything that changes is guarded by the condition's lock.
  private let condition = NSCondition()
  private var results: [Result<Value, any Error>?]
  private var firstFailure: (any Error)?

  init(count: Int) { results = Array(repeating: nil, count: count) }

  func finish(_ rank: Int, _ result: Result<Value, any Error>) {
    condition.withLock {
      results[rank] = result
      if case .failure(let error) = result { firstFailure = firstFailure ?? error }
      condition.broadcast()
    }
  }

  func wait() throws -> [Value] {
    condition.lock()
    defer { condition.unlock() }
    while results.contains(where: { $0 == nil }) { condition.wait() }
    if let firstFailure { throw firstFailure }
    return try results.compactMap { try $0?.get() }
  }
}
