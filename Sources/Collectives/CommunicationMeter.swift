import Synchronization

/// What a rank has sent to other ranks, and how long that took.
public struct CommunicationStatistics: Sendable, Equatable {
  public var bytesSent = 0
  public var messages = 0
  /// From the start of each transfer to its end, added up; transfers that overlap count each.
  public var seconds = 0.0
  /// The part of it for which the rank waited.
  public var exposedSeconds = 0.0

  public init() {}

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
  private let state = Mutex(CommunicationStatistics())

  public init() {}

  public var statistics: CommunicationStatistics { state.withLock { $0 } }

  /// A message to another rank.
  public func countMessage(bytes: Int) {
    state.withLock {
      $0.bytesSent += bytes
      $0.messages += 1
    }
  }

  /// A transfer that has ended, and how long the rank waited for it.
  public func countTransfer(seconds: Double, exposed: Double) {
    state.withLock {
      $0.seconds += max(seconds, exposed)
      $0.exposedSeconds += exposed
    }
  }
}
