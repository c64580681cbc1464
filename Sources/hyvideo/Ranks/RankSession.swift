import Collectives
import Foundation
import Generation
import Synchronization

/// This process among those that make videos together: one alone, or a rank that a launcher has started.
final class RankSession: Sendable {
  let group: any ProcessGroup
  let greetings: [RankGreeting]
  private let mpi: MPIProcessGroup?
  private let connection = Mutex<Lifeline?>(nil)

  /// Over which ranks learn of each other's end; nil before a run begins.
  var lifeline: Lifeline? {
    get { connection.withLock { $0 } }
    set { connection.withLock { $0 = newValue } }
  }

  /// The session of the process, for its end.
  private static let joined = Mutex<RankSession?>(nil)
  static var current: RankSession? { joined.withLock { $0 } }

  private init(_ group: any ProcessGroup, mpi: MPIProcessGroup?, greetings: [RankGreeting]) {
    (self.group, self.mpi, self.greetings) = (group, mpi, greetings)
  }

  /// A process that joins nobody.
  static var alone: RankSession {
    RankSession(SingleProcessGroup(), mpi: nil, greetings: [RankGreeting(command: command)])
  }

  var isFirst: Bool { group.rank == 0 }
  var hosts: RankHosts { RankHosts(greetings) }

  /// The seed of runs that were given none, the same on all ranks.
  var seed: UInt64 { greetings[0].seed }

  /// Whether a launcher has started this process.
  static var isLaunched: Bool {
    let environment = ProcessInfo.processInfo.environment
    return MPIProcessGroup.launcherVariables.contains { environment[$0] != nil }
  }

  /// What this process was asked to do.
  private static var command: String { CommandLine.arguments.dropFirst().first ?? "nothing" }

  /// Joins the other ranks where a launcher has started this process.
  /// - Parameters:
  ///   - command: what this rank does; all have to do the same.
  ///   - failure: why this rank cannot take part. The others then do not wait for it.
  /// - Throws: `AgreedFailure` on all ranks where one has failed, does something else or is another version of the program.
  static func join(command: String = command, failure: Failure? = nil) throws -> RankSession {
    let greeting = RankGreeting(command: command, failure: failure)
    guard isLaunched else {
      if let failure { throw AgreedFailure(failure) }
      return alone
    }
    let arrival = RankArrival()
    defer { arrival.end() }
    let mpi = try joinMPI()
    // Known from here on, so that the process leaves the others when it ends.
    let alone = RankSession(mpi, mpi: mpi, greetings: [])
    joined.withLock { $0 = alone }
    let greetings = try alone.exchange(greeting)
    let session = RankSession(mpi, mpi: mpi, greetings: greetings.compactMap(\.self))
    joined.withLock { $0 = session }
    try session.refuseFailures(greetings.map { $0?.failure })
    // Another version may greet in another way.
    for (rank, other) in greetings.enumerated() where other?.version != greetings[0]?.version {
      throw AgreedFailure(
        RequestError(
          "ranks differ", at: "the program's version", expected: "\(greetings[0]?.version ?? "unknown") as on rank 0",
          found: "\(other?.version ?? "unknown") on rank \(rank)", remedy: "install one version on all hosts"))
    }
    for (rank, other) in session.greetings.enumerated() where other.command != session.greetings[0].command {
      throw AgreedFailure(
        RequestError(
          "ranks differ", at: "the command", expected: "\(session.greetings[0].command) as on rank 0",
          found: "\(other.command) on rank \(rank) (\(other.host))", remedy: "start all ranks with the same command"))
    }
    return session
  }

  /// Lets the other ranks know of a command that each rank does for itself, so that none waits for one that does not come.
  static func meet(command: String) throws {
    guard isLaunched, RankLaunch.number().size != 1 else { return }
    let session: RankSession
    // Without MPI nobody waits.
    do { session = try join(command: command) } catch is RefusedBeforeWork { return }
    session.leaveOrderly()
    joined.withLock { $0 = nil }
  }

  private static func joinMPI() throws -> MPIProcessGroup {
    let (rank, size) = RankLaunch.number()
    let mpi: MPIProcessGroup
    do { mpi = try MPIProcessGroup.join() } catch {
      let failure = Failure(RefusedBeforeWork(reason: error))
      throw RefusedBeforeWork(reason: RankFailure(failure: rank.map(failure.of(rank:)) ?? failure))
    }
    if let size, mpi.size == 1, size > 1 {
      throw RefusedBeforeWork(
        reason: RequestError(
          "no ranks", at: "the launcher", expected: "\(size) ranks in MPI, as many as were started", found: "1",
          remedy: "start hyvideo with the mpirun of the MPI that it was built with, under Slurm with srun --mpi=pmix"))
    }
    return mpi
  }

  /// What this rank and all others give, in the order of ranks; nil for what cannot be read.
  private func exchange<Value: Codable>(_ value: Value) throws -> [Value?] {
    try group.allGather([UInt8](JSONEncoder().encode(value))).map {
      try? JSONDecoder().decode(Value.self, from: Data($0))
    }
  }

  // MARK: Together

  /// What a rank tells of something that all ranks do.
  private struct Preparation: Codable {
    var failure: Failure?
    /// What must be the same on all ranks, by the name of its flag.
    var settings: [String: String] = [:]
    /// What the first rank decides for all.
    var decided: [String] = []
  }

  /// Does something on every rank; where one fails, all do, with its reason.
  func together<Result>(_ body: () throws -> Result) throws -> Result {
    try agree { (try body(), [:], []) }.result
  }

  /// Prepares every rank; where one fails or has other settings than the first, all fail before any work is done.
  /// - Returns: the preparation, and what the first rank has decided.
  func agree<Result>(
    _ prepare: () throws -> (result: Result, settings: [String: String], decided: [String])
  ) throws -> (result: Result, decided: [String]) {
    if group.size == 1 {
      let prepared = try prepare()
      return (prepared.result, prepared.decided)
    }
    var mine = Preparation()
    var prepared: Result?
    do {
      let (result, settings, decided) = try prepare()
      (prepared, mine.settings, mine.decided) = (result, settings, decided)
    } catch { mine.failure = Failure(error) }
    let all = try exchange(mine)
    try refuseFailures(all.map { $0?.failure })
    let first = all[0]?.settings ?? [:]
    for (rank, other) in all.enumerated() {
      let settings = other?.settings ?? [:]
      let names = Set(first.keys).union(settings.keys).filter { first[$0] != settings[$0] }.sorted()
      guard let name = names.first else { continue }
      throw AgreedFailure(
        RequestError(
          "ranks differ", at: name, expected: "\(first[name] ?? "nothing") as on rank 0",
          found: "\(settings[name] ?? "nothing") on rank \(rank) (\(greetings[rank].host))",
          remedy: "start all ranks with the same flags and the same checkpoint"))
    }
    guard let prepared else { preconditionFailure("ranks: a preparation that failed was not refused") }
    return (prepared, all[0]?.decided ?? [])
  }

  /// Ends all ranks with the first failure. Where all have failed alike it belongs to none.
  private func refuseFailures(_ failures: [Failure?]) throws {
    guard let rank = failures.firstIndex(where: { $0 != nil }), let failure = failures[rank] else { return }
    let isShared = failures.allSatisfy { $0 == failure }
    throw AgreedFailure(isShared ? failure : failure.of(rank: rank))
  }

  // MARK: The end

  /// Leaves the other ranks after a run, when all have come this far.
  func finish() throws {
    guard mpi != nil else { return }
    try group.barrier()
    leaveOrderly()
    Self.joined.withLock { $0 = nil }
  }

  /// Leaves MPI, as all other ranks do now.
  func leaveOrderly() {
    lifeline?.close()
    mpi?.finish()
  }
}

/// Why a rank could not join the others.
private struct RankFailure: Error, CustomStringConvertible {
  let failure: Failure
  var description: String { failure.message }
}

/// Why all ranks end: each of them knows.
struct AgreedFailure: Error {
  let failure: Failure

  init(_ failure: Failure) { self.failure = failure }
  init(_ error: RequestError) { failure = Failure(error) }
}
