import Foundation

/// What a trace says of each kind of operation and block.
public struct ProfileSummary: Encodable, Sendable {
  /// All operations, blocks or stages of one name.
  public struct Row: Encodable, Sendable {
    public let name: String
    public internal(set) var calls = 0
    public internal(set) var seconds = 0.0
    /// Of the time of all stages that were recorded.
    public internal(set) var share = 0.0
    public internal(set) var operations = 0.0
    public internal(set) var bytes = 0.0
    /// Rates while these ran, and their part of what the ranks' devices reach at most; nil where nothing of the kind was counted.
    public internal(set) var gflops: Double?
    public internal(set) var gigabytesPerSecond: Double?
    public internal(set) var shareOfPeak: Double?

    init(name: String) { self.name = name }

    enum CodingKeys: String, CodingKey {
      case name, calls, seconds, share, operations, bytes, gflops
      case gigabytesPerSecond = "gigabytes_per_second"
      case shareOfPeak = "share_of_peak"
    }
  }

  public let generator: String
  public let ranks: Int
  public let threads: Int
  /// All ranks' time together: that of the stages that were recorded.
  public let seconds: Double
  public private(set) var operations: [Row] = []
  public private(set) var blocks: [Row] = []
  public private(set) var stages: [Row] = []
  public let steps: Int
  public let skippedSteps: Int
  public let stepSecondsMean: Double?
  /// What one rank's device reaches at most, measured or given; nil where neither.
  public let peakGflops: Double?
  public let peakGigabytesPerSecond: Double?
  /// Peaks, in bytes.
  public let memory: [String: Double]
  public let bytesRead: Double
  public let lostEvents: Int

  enum CodingKeys: String, CodingKey {
    case generator, ranks, threads, seconds, operations, blocks, stages, steps
    case skippedSteps = "skipped_steps"
    case stepSecondsMean = "step_seconds_mean"
    case peakGflops = "peak_gflops"
    case peakGigabytesPerSecond = "peak_gigabytes_per_second"
    case memory = "memory_peak_bytes"
    case bytesRead = "disk_read_bytes"
    case lostEvents = "lost_events"
  }

  /// - Parameters:
  ///   - rank: looks at one rank alone.
  ///   - peakGflops: of one rank's device, instead of what the trace says.
  public init(_ trace: Trace, rank: Int? = nil, peakGflops: Double? = nil) {
    let chosen = trace.ranks.filter { rank == nil || $0.rank == rank }
    func slices(_ category: ProfileCategory) -> [Trace.Slice] {
      (trace.slices[category] ?? []).filter { rank == nil || $0.rank == rank }
    }
    generator = trace.generator
    ranks = chosen.count
    threads = chosen.reduce(0) { $0 + $1.threads }
    self.peakGflops = peakGflops ?? Self.mean(chosen.compactMap(\.peakOperationsPerSecond)).map { $0 / 1e9 }
    peakGigabytesPerSecond = Self.mean(chosen.compactMap(\.peakBytesPerSecond)).map { $0 / 1e9 }
    memory = trace.memoryPeaks
    bytesRead = trace.diskReads
    lostEvents = chosen.reduce(0) { $0 + $1.lostEvents }
    let stageSlices = slices(.stage)
    let total = stageSlices.reduce(0) { $0 + $1.seconds }
    seconds = total
    let stepSlices = slices(.step)
    steps = stepSlices.count
    skippedSteps = stepSlices.count { $0.skipped }
    stepSecondsMean = Self.mean(stepSlices.map(\.seconds))

    // A wait for other ranks is no part of an operation of the device.
    let work = slices(.operation)
    operations = rows((work + slices(.communication)).map { ($0.name, $0) })
    let other = total - operations.reduce(0) { $0 + $1.seconds }
    if other > 0 && !work.isEmpty {
      var row = Row(name: "(between operations)")
      (row.calls, row.seconds, row.share) = (work.count, other, total > 0 ? other / total : 0)
      operations.append(row)
    }
    blocks = rows(Self.withWork(slices(.block), work).map { (Self.kind($0.name), $0) })
    stages = rows(Self.withWork(stageSlices, work).map { ($0.name, $0) }, inOrder: true)
  }

  /// `transformer: double_blocks.7` is one of `transformer: double_blocks`.
  private static func kind(_ name: String) -> String {
    guard let dot = name.lastIndex(of: "."), Int(name[name.index(after: dot)...]) != nil else { return name }
    return String(name[..<dot])
  }

  private static func mean(_ values: [Double]) -> Double? {
    values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
  }

  /// Gives blocks or stages the operations and bytes of what they hold. Both lists are in the order of their starts; the spans of a
  /// rank do not overlap.
  private static func withWork(_ spans: [Trace.Slice], _ work: [Trace.Slice]) -> [Trace.Slice] {
    var next: [Int: Int] = [:]
    let byRank = Dictionary(grouping: work, by: \.rank)
    return spans.map { span in
      let list = byRank[span.rank] ?? []
      var index = next[span.rank] ?? 0
      var (operations, bytes) = (0.0, 0.0)
      while index < list.count && list[index].start < span.end {
        if list[index].start >= span.start {
          operations += list[index].operations
          bytes += list[index].bytes
        }
        index += 1
      }
      next[span.rank] = index
      return Trace.Slice(
        rank: span.rank, name: span.name, start: span.start, duration: span.duration, operations: operations,
        bytes: bytes, skipped: span.skipped)
    }
  }

  /// One row for each name, the longest first unless they are to stay in order.
  private func rows(_ slices: [(name: String, slice: Trace.Slice)], inOrder: Bool = false) -> [Row] {
    var rows: [Row] = []
    var indices: [String: Int] = [:]
    for (name, slice) in slices {
      let index = indices[name] ?? rows.count
      if index == rows.count {
        rows.append(Row(name: name))
        indices[name] = index
      }
      rows[index].calls += 1
      rows[index].seconds += slice.seconds
      rows[index].operations += slice.operations
      rows[index].bytes += slice.bytes
    }
    for index in rows.indices {
      let row = rows[index]
      rows[index].share = seconds > 0 ? row.seconds / seconds : 0
      if row.seconds <= 0 { continue }
      if row.operations > 0 {
        let rate = row.operations / row.seconds / 1e9
        rows[index].gflops = rate
        rows[index].shareOfPeak = peakGflops.map { rate / $0 }
      }
      if row.bytes > 0 { rows[index].gigabytesPerSecond = row.bytes / row.seconds / 1e9 }
    }
    return inOrder ? rows : rows.sorted { ($1.seconds, $0.name) < ($0.seconds, $1.name) }
  }
}
