import Collectives
import Foundation
import Generation
import Layers

/// What several ranks did together, beside one rank: with as many threads as all of them, or with its own card.
struct RankBenchmarkResult: Encodable {
  let ranks: Int
  /// Whether each rank has a card of its own.
  let hasCards: Bool
  let ulyssesDegree: Int
  let ringDegree: Int
  let threadsPerRank: Int
  /// Median of one rank alone.
  let oneRankSecondsMedian: Double
  /// Its time over that of all ranks. Where nothing is lost, 1 for ranks that share a processor, for cards their number.
  let speedToOneRank: Double
  /// Of the first rank in one run.
  let bytesSent: Int
  let communicationSeconds: Double
  /// The part of it that is not hidden behind work.
  let exposedSeconds: Double

  enum CodingKeys: String, CodingKey {
    case ranks
    case hasCards = "has_cards"
    case ulyssesDegree = "ulysses_degree"
    case ringDegree = "ring_degree"
    case threadsPerRank = "threads_per_rank"
    case oneRankSecondsMedian = "one_rank_seconds_median"
    case speedToOneRank = "speed_to_one_rank"
    case bytesSent = "bytes_sent"
    case communicationSeconds = "communication_seconds"
    case exposedSeconds = "exposed_seconds"
  }

  /// For people.
  var text: String {
    let layout = "Ulysses \(ulyssesDegree) x ring \(ringDegree)"
    let speed =
      hasCards
      ? "\(ranks) cards, \(layout): " + String(format: "%.2f times the speed of one", speedToOneRank)
      : "\(ranks) ranks of \(threadsPerRank) threads, \(layout): "
        + String(format: "%.1f %% of the speed of one rank of %d threads", 100 * speedToOneRank, ranks * threadsPerRank)
    return "  \(speed)"
      + String(
        format: """
           (%.4g s), in turns
            a rank sends %.4g MB a run; messages under way for %.3g s, of which %.3g s not hidden
          """, oneRankSecondsMedian, Double(bytesSent) / 1e6, communicationSeconds, exposedSeconds)
  }
}

/// Times a piece of work on all ranks of a launch and, in turns with it, on the first rank alone: with all their threads, or with its
/// card.
struct RankBenchmark {
  private let group: any ProcessGroup
  private let layout: RankLayout
  /// Of each rank.
  private let threads: Int
  private let hasCards: Bool
  private let alone: ForwardContext
  private let own: ForwardContext

  /// Ranks that share a processor.
  init(_ session: RankSession, layout: RankLayout, threads: Int) throws {
    func context(threads: Int) throws -> ForwardContext {
      try ProcessorDevice(threads: threads).backends(streamsWeights: false).contexts().transformer
    }
    (group, self.layout, self.threads, hasCards) = (session.group, layout, threads, false)
    (alone, own) = (try context(threads: threads * layout.ranks), try context(threads: threads))
  }

  /// Ranks with a card each. All ranks call this.
  init(_ session: RankSession, layout: RankLayout, on card: any ComputeDevice) throws {
    (group, self.layout, threads, hasCards) = (try card.group(session.group), layout, card.threads, true)
    own = card.backends(streamsWeights: false).contexts().transformer
    alone = own
  }

  /// The layout that flags ask for, or the one that the program would choose.
  static func layout(
    ulysses: Int?, ring: Int?, session: RankSession, heads: Int?
  ) throws(RequestError) -> RankLayout {
    let ranks = session.group.size
    for (flag, degree) in [("--ulysses-degree", ulysses), ("--ring-degree", ring)] {
      guard let degree, degree < 1 || ranks % degree != 0 else { continue }
      throw RequestError(
        "invalid layout", at: flag, expected: "a divisor of the number of ranks, \(ranks)", found: "\(degree)",
        remedy: "start as many ranks: mpirun --bind-to none -n COUNT hyvideo bench …")
    }
    if ulysses == nil && ring == nil {
      return RankLayout.automatic(
        ranks: ranks, ranksPerHost: session.hosts.ranksPerHost, heads: heads ?? 1
      ).layout
    }
    let layout = RankLayout(ulysses: ulysses ?? ranks / (ring ?? 1), ring: ring ?? ranks / (ulysses ?? 1))
    if layout.ranks != ranks {
      throw RequestError(
        "invalid layout", at: "--ulysses-degree, --ring-degree", expected: "a product of \(ranks) ranks",
        found: "\(layout.ulysses) x \(layout.ring)", remedy: "leave one of them out")
    }
    return layout
  }

  /// - Parameters:
  ///   - request: a part of the transformer: blocks or a step.
  ///   - warmUp: run after the first, untimed round on every rank.
  /// - Returns: the timer of all ranks together, and what they did.
  func run(
    _ request: BenchmarkRequest, runs: Int, warmUp: () -> Void
  ) throws -> (timer: BenchmarkTimer, operations: Double, result: RankBenchmarkResult) {
    let shared = try SequenceGroup(group, layout: layout).context(own)
    guard let work = try BenchmarkWork.prepare(request, in: shared) else {
      preconditionFailure("bench: \(request.kind) is no work of a network")
    }
    var oneRankSeconds: [Double] = []
    let timer = BenchmarkTimer(threads: threads * layout.ranks)
    var communication = CommunicationStatistics()
    for run in 0...runs {
      let oneRank = BenchmarkTimer(threads: threads * layout.ranks)
      try group.barrier()
      if group.rank == 0 {
        try oneRank.time { try work.run(in: alone) }
      } else if let last = oneRankSeconds.last {
        // Looking for messages would take time from the rank that works.
        Thread.sleep(forTimeInterval: 0.97 * last)
      }
      oneRankSeconds.append(try group.maximum([oneRank.seconds.last ?? 0])[0])
      if run == 0 {
        try work.run(in: shared)
        warmUp()
        continue
      }
      let before = group.statistics
      try timer.time { try work.run(in: shared) }
      communication = group.statistics.since(before)
    }
    timer.processorSeconds = try group.sum(timer.processorSeconds)
    let oneRank = BenchmarkResult.median(Array(oneRankSeconds.dropFirst())) ?? 0
    return (
      timer, work.operations,
      RankBenchmarkResult(
        ranks: layout.ranks, hasCards: hasCards, ulyssesDegree: layout.ulysses, ringDegree: layout.ring,
        threadsPerRank: threads,
        oneRankSecondsMedian: oneRank, speedToOneRank: oneRank / (BenchmarkResult.median(timer.seconds) ?? oneRank),
        bytesSent: communication.bytesSent, communicationSeconds: communication.seconds,
        exposedSeconds: communication.exposedSeconds)
    )
  }
}
