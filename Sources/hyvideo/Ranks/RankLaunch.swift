import Foundation

/// What a launcher says to a rank through its environment.
struct RankLaunch: Sendable {
  let rank: Int
  /// Of all ranks.
  let size: Int?
  let localSize: Int?
  /// The same for all ranks of a launch, and for no others.
  private let name: String

  private static let nameKey = "PMIX_NAMESPACE"
  private static let rankKey = "PMIX_RANK"

  /// Nil where this process is no rank, or its launcher is not one of those known here.
  static let current: RankLaunch? = RankLaunch(ProcessInfo.processInfo.environment)

  private init?(_ environment: [String: String]) {
    guard let name = environment[Self.nameKey], let rank = environment[Self.rankKey].flatMap({ Int($0) }) else {
      return nil
    }
    (self.name, self.rank) = (name, rank)
    size = environment["OMPI_COMM_WORLD_SIZE"].flatMap { Int($0) }
    localSize = environment["OMPI_COMM_WORLD_LOCAL_SIZE"].flatMap { Int($0) }
  }

  /// The rank's number and how many there are, as other launchers have it too.
  static func number(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> (rank: Int?, size: Int?)
  {
    func first(_ keys: [String]) -> Int? { keys.lazy.compactMap { environment[$0].flatMap { Int($0) } }.first }
    return (
      first(["OMPI_COMM_WORLD_RANK", rankKey, "PMI_RANK"]),
      first(["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"])
    )
  }

  /// What to say where Slurm has started this process as one of several that do not know of each other.
  static var warning: String? {
    guard !RankSession.isLaunched, let tasks = number().size, tasks > 1 else { return nil }
    return
      "this is one of \(tasks) tasks of srun, each of which makes the whole video; with srun --mpi=pmix they make it together"
  }

  /// The ranks of this launch that have a process here: the program itself or what has started it.
  func ranksOnThisHost() -> Set<Int> {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return Set(names.compactMap { Int32($0) }.compactMap(rank(of:)))
  }

  /// Whether the process that has started the ranks can be seen: then they can be too.
  var seesLauncher: Bool {
    var process = getpid()
    while process > 0, rank(of: process) != nil {
      guard let parent = Self.parent(of: process) else { return false }
      process = parent
    }
    return process > 0
  }

  /// The rank that a process belongs to.
  private func rank(of process: Int32) -> Int? {
    guard let contents = FileManager.default.contents(atPath: "/proc/\(process)/environ") else { return nil }
    var (rank, isOurs) = (nil as Int?, false)
    for entry in contents.split(separator: 0) {
      if entry.starts(with: "\(Self.nameKey)=".utf8) {
        isOurs = entry.dropFirst(Self.nameKey.utf8.count + 1).elementsEqual(name.utf8)
      } else if entry.starts(with: "\(Self.rankKey)=".utf8) {
        rank = Int(String(decoding: entry.dropFirst(Self.rankKey.utf8.count + 1), as: UTF8.self))
      }
    }
    return isOurs ? rank : nil
  }

  private static func parent(of process: Int32) -> Int32? {
    let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("PPid:") }
    return line?.split(whereSeparator: \.isWhitespace).last.flatMap { Int32($0) }
  }
}
