import Synchronization

/// What a rank has sent to other ranks, and how long that took.
public struct CommunicationStatistics: Sendable, Equatable {
  public var bytesSent = 0
  public var messages = 0
  /// For how long messages were under way, from asking for them to having them; several at once count once.
  public var seconds = 0.0
  /// The part of it for which the rank waited and did nothing else.
  public var exposedSeconds = 0.0

  public init() {}

  /// The share of `seconds` during which the rank computed; 1 where nothing was sent.
  public var hiddenShare: Double { seconds > 0 ? 1 - exposedSeconds / seconds : 1 }

  /// This and what went another way meanwhile.
  public func joined(with other: CommunicationStatistics) -> CommunicationStatistics {
    var result = self
    result.bytesSent += other.bytesSent
    result.messages += other.messages
    result.seconds += other.seconds
    result.exposedSeconds += other.exposedSeconds
    return result
  }

  /// What happened since.
  public func since(_ earlier: CommunicationStatistics) -> CommunicationStatistics {
    var result = self
    result.bytesSent -= earlier.bytesSent
    result.messages -= earlier.messages
    result.seconds -= earlier.seconds
    result.exposedSeconds -= earlier.exposedSeconds
    return result
  }
}

/// Counts for a group and its subgroups.
public final class CommunicationMeter: Sendable {
  private struct State {
    var statistics = CommunicationStatistics()
    var spans = TimeSpans()
  }

  private let state = Mutex(State())

  public init() {}

  public var statistics: CommunicationStatistics {
    state.withLock { state in
      var result = state.statistics
      result.seconds += state.spans.total / .seconds(1)
      return result
    }
  }

  /// A message to another rank.
  public func countMessage(bytes: Int) {
    state.withLock {
      $0.statistics.bytesSent += bytes
      $0.statistics.messages += 1
    }
  }

  /// A transfer whose times a device has measured.
  public func countTransfer(seconds: Double, exposedSeconds: Double) {
    state.withLock {
      $0.statistics.seconds += seconds
      $0.statistics.exposedSeconds += exposedSeconds
    }
  }

  /// A transfer that has ended.
  /// - Parameters:
  ///   - start: when messages were asked for.
  ///   - end: when the rank had them, or stopped waiting for them.
  ///   - waiting: for how long it waited.
  public func countTransfer(
    from start: ContinuousClock.Instant, to end: ContinuousClock.Instant, waiting: Duration
  ) {
    state.withLock {
      if end > start { $0.spans.insert(start..<end) }
      $0.statistics.exposedSeconds += waiting / .seconds(1)
    }
  }
}

/// The union of spans of time.
struct TimeSpans {
  /// The length of the union.
  private(set) var total = Duration.zero
  /// Apart from each other and in order.
  private var spans: [Range<ContinuousClock.Instant>] = []
  /// Transfers end in about the order in which they began: spans that are older than so many others are never met again.
  private static let limit = 4096

  mutating func insert(_ span: Range<ContinuousClock.Instant>) {
    var union = span
    var place = spans.count
    while place > 0 && spans[place - 1].lowerBound > span.upperBound { place -= 1 }
    let end = place
    while place > 0 && spans[place - 1].upperBound >= span.lowerBound {
      place -= 1
      union = min(union.lowerBound, spans[place].lowerBound)..<max(union.upperBound, spans[place].upperBound)
      total -= spans[place].length
    }
    spans.replaceSubrange(place..<end, with: [union])
    total += union.length
    if spans.count > Self.limit { spans.removeFirst(Self.limit / 2) }
  }
}

extension Range<ContinuousClock.Instant> {
  fileprivate var length: Duration { lowerBound.duration(to: upperBound) }
}
