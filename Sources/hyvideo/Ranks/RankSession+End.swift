import Collectives
import Foundation
import Generation
import TensorCore
import TensorOps

// How ranks end before their time: one of them says why, all of them end.

extension RankSession {
  /// How long a rank that lost a message waits to hear why.
  private static let patience = 3.0

  /// Connects the ranks so that each learns of the others' end.
  func openLifeline(_ observer: RunObserver) throws {
    if group.size == 1 { return }
    let (lifeline, unconnected) = try Lifeline.connect(
      group, hosts: greetings.map(\.host),
      handlers: Lifeline.Handlers(
        ended: { [greetings] in Self.tell($0, greetings) }, leave: { Self.leave($0) },
        stop: { StopSignals.request($0) }, tick: { Self.tick(isFirst: self.isFirst) }))
    self.lifeline = lifeline
    if !unconnected.isEmpty {
      observer.warn(
        "ranks \(unconnected.map(String.init).joined(separator: ", ")) cannot connect to \(greetings[0].host): "
          + "when one of them ends, only the launcher notices")
    }
  }

  /// Tells the user why the run is over, and saves what there is.
  private static func tell(_ end: RankEnd, _ greetings: [RankGreeting]) {
    let file = RunFile.current
    if end.reason == nil || end.status != 0 { try? file?.save() }
    guard end.isTeller else { return }
    let message: String
    if let reason = end.reason {
      // A signal stops all ranks, whichever it came to.
      message = end.status >= 128 ? reason : "rank \(end.rank): \(reason)"
    } else {
      let lost = greetings[end.rank]
      message =
        "rank \(end.rank) is gone: process \(lost.process) on \(lost.host): expected an end with all other ranks, "
        + "found one without a word; was it killed, or out of memory?"
    }
    var parts = [message]
    if let consequence = file?.consequence, !message.contains("--resume") { parts.append(consequence) }
    Console.error("error: \(parts.joined(separator: "; "))\n", overBar: true)
  }

  /// Ends the process, whatever its other threads do.
  private static func leave(_ status: Int32) {
    // Time for the other ranks to hear of it before their launcher ends them.
    Thread.sleep(forTimeInterval: 0.1)
    EmergencyCleanup.runAll()
    OutputClaims.release()
    _exit(status)
  }

  /// Passes on signals: to a rank, or from the program that started the launcher.
  private static func tick(isFirst: Bool) {
    if isFirst, let signal = RankLauncher.passedSignal() { StopSignals.request(signal) }
    guard let signal = StopSignals.received else { return }
    if isFirst {
      // Launchers give ranks a second or two to end; a step may take longer.
      try? RunFile.current?.save()
    } else {
      current?.lifeline?.requestStop(signal)
    }
  }

  /// Ends the process, and the others with it: one of them says why.
  func end(_ error: any Error) -> Never {
    let failure = Failure(error)
    if error is AgreedFailure || group.size == 1 {
      // All ranks are here.
      if isFirst { Console.error("error: \(failure.message)\n") }
      leaveOrderly()
      Hyvideo.leave(failure.status)
    }
    guard let lifeline else {
      Console.error("error: \(failure.of(rank: group.rank).message)\n")
      group.abort(reason: failure.message, status: failure.status)
      Hyvideo.leave(failure.status)
    }
    // A rank that misses a message is seldom the one to blame: the first hears sooner than the others who is gone, and tells
    // them. One that was interrupted knows it from the first.
    if Self.isConsequence(error) {
      Thread.sleep(forTimeInterval: isFirst ? Self.patience / 2 : Self.patience)
    } else if !isFirst && error is Interruption {
      Thread.sleep(forTimeInterval: 10 * Self.patience)
    }
    lifeline.fail(reason: failure.message, status: failure.status)
    Hyvideo.leave(failure.status)
  }

  private static func isConsequence(_ error: any Error) -> Bool {
    if error is CollectiveError { return true }
    if case .communicationFailure? = error as? BackendError { return true }
    return false
  }
}
