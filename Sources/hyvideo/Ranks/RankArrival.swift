import Foundation
import Synchronization

/// Watches the other ranks of this host until all have joined: MPI waits for ever for a process that ends without an error before
/// it has begun, and so does its launcher.
///
/// Ranks are found by what their launcher has put into their environment. What cannot be seen from here (other hosts, other
/// containers, launchers without PMIx) is not judged.
final class RankArrival: Sendable {
  private let hasArrived = Atomic<Bool>(false)

  /// Nothing is looked at before this: most runs have begun by then.
  private static let firstLook = 1.0
  private static let interval = 0.5
  /// How many looks in a row must miss the same ranks.
  private static let looks = 4

  /// Begins, where there is something to watch.
  init() {
    guard let launch = RankLaunch.current, let local = launch.localSize, local > 1, launch.seesLauncher else { return }
    Thread.detachNewThread { [self] in watch(launch, local: local) }
  }

  /// All ranks are there.
  func end() { hasArrived.store(true, ordering: .relaxed) }

  private func watch(_ launch: RankLaunch, local: Int) {
    Thread.sleep(forTimeInterval: Self.firstLook)
    var seen: Set<Int> = []
    var (misses, before) = (0, seen)
    while !hasArrived.load(ordering: .relaxed) {
      let present = launch.ranksOnThisHost()
      seen.formUnion(present)
      // A rank that has told of another and ended is not missed itself.
      misses = present.count == local ? 0 : present == before ? misses + 1 : 1
      before = present
      if misses == Self.looks && !hasArrived.load(ordering: .relaxed) {
        let all = launch.size == local ? Set(0..<local) : seen
        tell(all.subtracting(present).sorted(), isTeller: present.min() == launch.rank)
      }
      Thread.sleep(forTimeInterval: Self.interval)
    }
  }

  /// Ends this process; the launcher ends the others.
  private func tell(_ ranks: [Int], isTeller: Bool) -> Never {
    if isTeller {
      let names = ranks.map(String.init).joined(separator: ", ")
      let who = ranks.isEmpty ? "a rank of this host is" : ranks.count == 1 ? "rank \(names) is" : "ranks \(names) are"
      let message =
        "\(who) gone: on \(ProcessInfo.processInfo.hostName): expected hyvideo to join the other ranks, found the "
        + "process ended before it did; start the same program with the same flags on all ranks"
      Console.error("error: \(message)\n")
    } else {
      Thread.sleep(forTimeInterval: 1)
    }
    _exit(1)
  }
}
