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
    /// Reading weights from disk, against having them in memory.
    case offload
    /// The same where the system still has the file in memory.
    case offloadCached = "offload-cached"

    /// Whether it is about weights in a file.
    var needsFile: Bool { place != .memory }

    /// Where weights are when a run with the part begins.
    var place: BenchmarkFile.Place {
      switch self {
      case .check, .profile: .memory
      case .offload: .disk
      case .offloadCached: .cache
      }
    }
  }

  let kind: Kind
  /// Medians over the pairs of runs of the processor time with the part, divided by that without, less one; and the same of the time
  /// by the wall clock.
  let processorShare: Double
  let wallShare: Double
  /// The time of all operations that the part itself consists of, as a share: for the check, from a profile. Other work on the
  /// machine changes it least.
  let measuredShare: Double?
  /// What a step reads from the disk, and the median of its time by the wall clock, for weights in a file.
  let readBytes: Int?
  let readSeconds: Double?

  enum CodingKeys: String, CodingKey {
    case kind
    case processorShare = "processor_share"
    case wallShare = "wall_share"
    case measuredShare = "measured_share"
    case readBytes = "read_bytes"
    case readSeconds = "read_seconds"
  }

  /// - Parameter timer: is given the times of the runs without the part.
  init(
    _ kind: Kind, of work: BenchmarkWork, runs: Int, in context: ForwardContext, timer: BenchmarkTimer
  ) throws {
    self.kind = kind
    var (without, with) = (context, context)
    // What is measured is left out on one side; the rest is as in a real run.
    without.checksFiniteness = kind != .check
    if kind == .profile {
      let profiler = try Profiler(.run)
      with.backend = ProfilingBackend(context.backend, recordingTo: profiler)
      with.recorder = profiler
    }
    if kind.needsFile { with.weightStreaming = work.file?.readAhead }
    let other = BenchmarkTimer(threads: timer.threads)
    // Where weights stay in memory, steps follow each other as in a run: mapping them anew would leave the caches cold.
    if !kind.needsFile { work.file?.move(to: .memory) }
    for run in 0..<runs {
      // A B, B A, …: what drifts meets both alike.
      let pair: [(BenchmarkTimer, ForwardContext, BenchmarkFile.Place)] = [
        (timer, without, .memory), (other, with, kind.place),
      ]
      for (timer, context, place) in run % 2 == 0 ? pair : pair.reversed() {
        if kind.needsFile { work.file?.move(to: place) }
        try timer.time { try work.run(in: context) }
      }
    }
    processorShare = Self.share(timer.processorSeconds, other.processorSeconds)
    wallShare = Self.share(timer.seconds, other.seconds)
    readBytes = kind.needsFile ? work.file?.stepByteCount : nil
    readSeconds = kind.needsFile ? BenchmarkResult.median(other.seconds) : nil
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
    var read = ""
    if let readBytes, let readSeconds {
      read = String(format: "; reads %.2f GB in %.4g s", Double(readBytes) / 1e9, readSeconds)
    }
    return "  \(kind.rawValue): " + shares + itself + read
  }
}
