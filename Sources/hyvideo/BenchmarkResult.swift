import Foundation
import Generation

/// Times runs by the wall clock and by the processor time that the process took.
final class BenchmarkTimer {
  let threads: Int
  private(set) var seconds: [Double] = []
  /// Of all ranks together, where there are several.
  var processorSeconds: [Double] = []

  init(threads: Int) { self.threads = threads }

  func time(_ body: () throws -> Void) rethrows {
    let (wall, processor) = (now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID))
    try body()
    seconds.append(now(CLOCK_MONOTONIC) - wall)
    processorSeconds.append(now(CLOCK_PROCESS_CPUTIME_ID) - processor)
  }

  private func now(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }
}

/// What `hyvideo bench` found.
struct BenchmarkResult: Encodable {
  let kind: String
  /// `cpu`, or `ascend:3`.
  let device: String
  let shape: [String: Int]
  let dtype: String
  /// The type of the transformer's activations.
  let precision: String
  /// What is to be known of the device; nil for nothing.
  let warnings: [String]?
  let threads: Int
  let runs: Int
  /// Medians; nil for the peak itself. Processor time is that of all threads together.
  let secondsMedian: Double?
  let processorSecondsMedian: Double?
  let gflops: Double
  let peakGflops: Double
  let shareOfPeak: Double
  /// The share that processor time gives, which other work on the machine changes little; nil where another device works.
  let shareOfPeakProcessor: Double?
  let memoryGigabytesPerSecond: Double
  let peakRSSBytes: Int
  /// What a part of the program adds, where that was asked for.
  let overhead: BenchmarkOverhead?

  /// From opening a file of weights to the end of the first block, what comes before the steps included.
  var firstBlockSeconds: Double?

  /// Nil where one process did the work.
  var ranks: RankBenchmarkResult?

  enum CodingKeys: String, CodingKey {
    case kind, device, shape, dtype, precision, threads, runs, gflops, overhead, ranks, warnings
    case secondsMedian = "seconds_median"
    case processorSecondsMedian = "processor_seconds_median"
    case peakGflops = "peak_gflops"
    case shareOfPeak = "share_of_peak"
    case shareOfPeakProcessor = "share_of_peak_processor"
    case firstBlockSeconds = "first_block_seconds"
    case memoryGigabytesPerSecond = "memory_gigabytes_per_second"
    case peakRSSBytes = "peak_rss_bytes"
  }

  /// - Parameters:
  ///   - operations: of one run.
  ///   - peaks: operations per second, measured before the first run and after each; or one for all.
  ///   - bandwidth: bytes per second.
  ///   - dtype: what weights in a file are stored as.
  ///   - device: what has done the work.
  init(
    _ request: BenchmarkRequest, timer: BenchmarkTimer, operations: Double, peaks: [Double], bandwidth: Double,
    peakRSSBytes: Int, dtype: String? = nil, overhead: BenchmarkOverhead? = nil, device: any ComputeDevice
  ) {
    precision = device.precisions.transformer.word
    warnings = device.warnings.isEmpty ? nil : device.warnings
    self.overhead = overhead
    self.device = device.name
    kind = request.kind.rawValue
    shape = Dictionary(
      uniqueKeysWithValues: request.sizes.map { ($0.rawValue.replacingOccurrences(of: "-", with: "_"), $1) })
    self.dtype = dtype ?? request.format?.rawValue ?? "f32"
    threads = timer.threads
    runs = timer.seconds.count
    secondsMedian = Self.median(timer.seconds)
    processorSecondsMedian = Self.median(timer.processorSeconds)
    let peak = Self.median(peaks) ?? 0
    gflops = (secondsMedian.map { operations / $0 } ?? peak) / 1e9
    peakGflops = peak / 1e9
    func share(_ seconds: [Double]) -> Double {
      let shares = seconds.enumerated().map { index, seconds in
        operations / seconds / (peaks.count > 1 ? (peaks[index] + peaks[index + 1]) / 2 : peak)
      }
      return Self.median(shares) ?? 1
    }
    shareOfPeak = share(timer.seconds)
    shareOfPeakProcessor =
      device.hasOwnMemory ? nil : share(timer.processorSeconds.map { $0 / Double(timer.threads) })
    memoryGigabytesPerSecond = bandwidth / 1e9
    self.peakRSSBytes = peakRSSBytes
  }

  static func median(_ values: [Double]) -> Double? {
    if values.isEmpty { return nil }
    let sorted = values.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }

  /// One line of JSON.
  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  /// For people.
  var text: String {
    let sizes = shape.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    var lines = [
      "\(kind)\(sizes.isEmpty ? "" : ": " + sizes), weights \(dtype), activations \(precision), "
        + (device == "cpu" ? "\(threads) threads" : device)
    ]
    if let secondsMedian, let processorSecondsMedian {
      lines.append(
        String(
          format: "  %.4g s (median of %d), %.4g s of processor time, %.4g GFLOP/s", secondsMedian, runs,
          processorSecondsMedian, gflops))
      let byProcessor = shareOfPeakProcessor.map { String(format: "; by processor time %.1f %%", 100 * $0) } ?? ""
      lines.append(String(format: "  %.1f %% of the peak", 100 * shareOfPeak) + byProcessor)
    }
    if let ranks { lines.append(ranks.text) }
    lines.append(
      String(
        format: "  peak %.4g GFLOP/s, memory %.3g GB/s, largest resident size %.3g GB", peakGflops,
        memoryGigabytesPerSecond, Double(peakRSSBytes) / 1e9))
    if let firstBlockSeconds {
      lines.append(String(format: "  first block %.3g s after opening the file", firstBlockSeconds))
    }
    if let overhead { lines.append(overhead.text) }
    return lines.joined(separator: "\n")
  }
}
