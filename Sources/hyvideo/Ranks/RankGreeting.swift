import CPUBackend
import Foundation

/// What ranks tell each other first.
struct RankGreeting: Codable {
  let version: String
  /// What this rank does: a command's name, or the flags that ask for help or the version.
  let command: String
  let host: String
  let process: Int32
  /// The cores that the rank may use, by number.
  let processors: [Int]
  /// Cores that the host's control group adds up to.
  let quota: Int?
  /// The NPUs that the rank may use, where its launcher says so: what `ASCEND_RT_VISIBLE_DEVICES` lists.
  let visibleDevices: [String]?
  /// A seed, for runs that were given none.
  let seed: UInt64
  /// Why this rank cannot take part.
  let failure: Failure?

  init(command: String, failure: Failure? = nil) {
    self.command = command
    version = ProgramVersion.current
    host = ProcessInfo.processInfo.hostName
    process = ProcessInfo.processInfo.processIdentifier
    processors = AvailableCores.processors
    quota = AvailableCores.quota
    visibleDevices = ProcessInfo.processInfo.environment["ASCEND_RT_VISIBLE_DEVICES"].flatMap {
      $0.isEmpty ? nil : $0.split(separator: ",").map(String.init)
    }
    seed = UInt64.random(in: 0..<1_000_000_000)
    self.failure = failure
  }
}

/// Where the ranks are.
struct RankHosts {
  private let greetings: [RankGreeting]

  init(_ greetings: [RankGreeting]) { self.greetings = greetings }

  /// How many ranks each host has, where all have as many and a host's ranks are neighbours; 1 else.
  var ranksPerHost: Int {
    let names = greetings.map(\.host)
    let count = names.prefix { $0 == names.first }.count
    guard count > 0, names.count % count == 0 else { return 1 }
    let starts = stride(from: 0, to: names.count, by: count)
    let blocks = starts.allSatisfy { start in names[start..<start + count].allSatisfy { $0 == names[start] } }
    return blocks && Set(starts.map { names[$0] }).count == names.count / count ? count : 1
  }

  /// The threads of a rank where none are asked for: its share of the cores that it may use, which the launcher may have given
  /// to it alone or to all ranks of the host.
  func threads(of rank: Int) -> Int {
    let mine = greetings[rank]
    let neighbours = greetings.filter { $0.host == mine.host }
    var users: [Int: Int] = [:]
    for neighbour in neighbours { for core in neighbour.processors { users[core, default: 0] += 1 } }
    let share = mine.processors.reduce(0.0) { $0 + 1 / Double(users[$1] ?? 1) }
    // Thirds add up to a little less than one.
    let granted = Int(share + 1e-6)
    return max(1, min(granted, mine.quota.map { $0 / neighbours.count } ?? .max))
  }

  /// How the ranks of a rank's host share its cores.
  /// - Parameter threads: of each rank.
  func crowding(of rank: Int, threads: Int) -> HostCrowding {
    let mine = greetings[rank]
    let neighbours = greetings.filter { $0.host == mine.host }
    let granted = Set(neighbours.flatMap(\.processors)).count
    return HostCrowding(ranks: neighbours.count, threads: threads, cores: min(granted, mine.quota ?? .max))
  }

  /// A warning where the launcher has bound the ranks to few of the cores.
  func unusedCores(of rank: Int) -> String? {
    let mine = greetings[rank]
    let online = ProcessInfo.processInfo.activeProcessorCount
    let used = Set(greetings.filter { $0.host == mine.host }.flatMap(\.processors)).count
    let granted = min(online, mine.quota ?? .max)
    if 2 * used > granted { return nil }
    return "the launcher lets the ranks use \(used) of \(granted) cores of \(mine.host); "
      + "start mpirun with --bind-to none, or use --ranks"
  }
}
