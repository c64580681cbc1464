import Foundation
import Generation
import Layers

/// What a part of the program costs: the same work without and with it, in turns.
struct BenchmarkOverhead: Encodable {
  enum Kind: String, CaseIterable, Encodable {
    /// The search of blocks' results for NaN and infinity.
    case check
    /// The recording of a profile.
    case profile
  }

  let kind: Kind
  /// Medians over the pairs of runs of the processor time with the part, divided by that without, less one; and the same of the time
  /// by the wall clock.
  let processorShare: Double
  let wallShare: Double
  /// The time of all operations that the part itself consists of, as a share: for the check, from a profile. Other work on the
  /// machine changes it least.
  let measuredShare: Double?

  enum CodingKeys: String, CodingKey {
    case kind
    case processorShare = "processor_share"
    case wallShare = "wall_share"
    case measuredShare = "measured_share"
  }

  /// - Parameter timer: is given the times of the runs without the part.
  init(
    _ kind: Kind, of work: BenchmarkWork, runs: Int, in context: ForwardContext, timer: BenchmarkTimer
  ) throws {
    self.kind = kind
    var (without, with) = (context, context)
    without.checksFiniteness = kind == .profile
    if kind == .profile {
      let profiler = try Profiler(.run)
      with.backend = ProfilingBackend(context.backend, recordingTo: profiler)
      with.recorder = profiler
    }
    let other = BenchmarkTimer(threads: timer.threads)
    for run in 0..<runs {
      // A B, B A, …: what drifts meets both alike.
      let pair = [(timer, without), (other, with)]
      for (timer, context) in run % 2 == 0 ? pair : pair.reversed() { try timer.time { try work.run(in: context) } }
    }
    processorShare = Self.share(timer.processorSeconds, other.processorSeconds)
    wallShare = Self.share(timer.seconds, other.seconds)
    measuredShare = kind == .check ? try Self.checkShare(of: work, in: context) : nil
  }

  private static func share(_ without: [Double], _ with: [Double]) -> Double {
    (BenchmarkResult.median(zip(without, with).map { $1 / $0 }) ?? 1) - 1
  }

  /// The share of the time that a profile gives the check.
  private static func checkShare(of work: BenchmarkWork, in context: ForwardContext) throws -> Double {
    let profiler = try Profiler(.run)
    var recorded = context
    recorded.backend = ProfilingBackend(context.backend, recordingTo: profiler)
    recorded.checksFiniteness = true
    profiler.begin(.stage, "work")
    try work.run(in: recorded)
    profiler.end(.stage, skipped: false)
    let totals = profiler.secondsByOperation()
    let all = totals.values.reduce(0, +)
    return all > 0 ? (totals["is_finite"] ?? 0) / all : 0
  }

  var text: String {
    let shares = String(
      format: "%+.2f %% of the processor time, %+.2f %% of the time (medians of pairs)", 100 * processorShare,
      100 * wallShare)
    let itself = measuredShare.map { String(format: "; itself %.3f %% of all operations", 100 * $0) } ?? ""
    return "  \(kind.rawValue): " + shares + itself
  }
}
