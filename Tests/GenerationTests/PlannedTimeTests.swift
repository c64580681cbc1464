import Foundation
import Generation
import Testing

/// The arithmetic of planned times; what they are of is in `OperationTimesTests`.
@Suite struct PlannedTimeTests {
  private func time(
    timed: Double = 0, guessed: Double = 0, unfounded: Double = 0, assumed: Double = 0
  ) -> PlannedTime {
    var time = PlannedTime()
    (time.timed, time.guessed, time.unfounded, time.assumed) = (timed, guessed, unfounded, assumed)
    return time
  }

  @Test func `nothing takes no time, for certain`() {
    #expect(PlannedTime().seconds == 0 && PlannedTime().uncertainty == 0)
  }

  @Test func `the less is known of the same time, the larger is its doubt`() {
    let times = [time(timed: 10), time(guessed: 10), time(unfounded: 10)]
    #expect(times.allSatisfy { $0.seconds == 10 })
    let doubts = times.map(\.uncertainty)
    #expect(doubts[0] < doubts[1] && doubts[1] < doubts[2], "\(doubts)")
    // No time is below zero.
    #expect(doubts.allSatisfy { (1..<10).contains($0) }, "\(doubts)")
  }

  @Test func `doubts of shares with reasons of their own add up to less than their sum`() {
    let (a, b) = (time(timed: 40), time(assumed: 12))
    var both = a
    both += b
    #expect(both == time(timed: 40, assumed: 12) && both.seconds == 52)
    #expect(both.uncertainty > max(a.uncertainty, b.uncertainty))
    #expect(both.uncertainty < a.uncertainty + b.uncertainty)
  }

  @Test func `the same stage of several videos errs alike`() {
    let one = time(timed: 3, guessed: 1)
    #expect((one * 4).seconds == 16)
    // What any run is off by is there once.
    let least = time(timed: 1e-9).uncertainty
    #expect(abs((one * 4).uncertainty - least - 4 * (one.uncertainty - least)) < 1e-9)
  }

  @Test func `weights that are read ahead cost what computing leaves of them`() {
    var slow = time(timed: 10)
    slow.readAhead(fast: 4, slow: 8)
    #expect(slow == time(timed: 10), "reading is hidden")
    slow.readAhead(fast: 4, slow: 18)
    #expect(slow.seconds == 10 && slow.slowReading == 8)
    #expect(slow.uncertainty > 8 && slow.uncertainty < 9)
    var fast = time(timed: 10)
    fast.readAhead(fast: 14, slow: 40)
    #expect(fast.seconds == 14 && fast.reading == 4 && fast.slowReading == 26)
    #expect((fast * 2).reading == 8 && (fast * 2).slowReading == 52)
  }

  @Test func `weights that are read as they are used cost all of their reading`() {
    var time = time(timed: 10)
    time.read(fast: 4, slow: 9)
    #expect(time.seconds == 14 && time.assumed == 4 && time.slowReading == 5)
  }
}
