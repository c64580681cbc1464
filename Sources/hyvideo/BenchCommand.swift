public import ArgumentParser
import CPUBackend
import Checkpoints
import Collectives
import Foundation
public import Generation
import Layers
import TensorCore
import TensorOps

extension BenchmarkKind: ExpressibleByArgument {}
extension BenchmarkFormat: ExpressibleByArgument {}
extension BenchmarkOverhead.Kind: ExpressibleByArgument {}

extension BenchmarkKind {
  /// What the network is on that this is a part of.
  fileprivate func backend(of backends: StageBackends) -> any Backend {
    switch self {
    case .vae: backends.autoencoder
    case .textEncoder: backends.textEncoders
    case .peak, .linear, .attention, .doubleBlock, .singleBlock, .step: backends.transformer
    }
  }
}

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Times parts of the model at real size with random weights, beside the processor's peak.",
    discussion: """
      Example: hyvideo bench double-block --tokens 2048 --text-tokens 256 --dtype bf16
      Ranks of one host, in turns with one rank of as many threads, or NPUs in turns with one of them: \
      mpirun --bind-to none -n 2 hyvideo bench double-block --tokens 4096 --ulysses-degree 2
      Each size has a default for each kind. `vae` and upsampling count operations as the network's text has them, so their \
      share of the peak may exceed one where kernels save work.
      """)

  @Argument(help: "What to time.") var kind: BenchmarkKind?
  @Flag(
    help: """
      Instead of timing, run every operation beside plain loops on the processor, in each type that the device computes in, \
      and print a table: of a device that nobody has tried, the thing to send with a report. Under mpirun, the operations by \
      which ranks exchange tensors.
      """)
  var conformance = false
  @Option(help: "Rows of a product, video tokens, or the language model's tokens.") var tokens: Int?
  @Option(help: "Text tokens.") var textTokens: Int?
  @Option(help: "Channels of a token.") var width: Int?
  @Option(help: "Outputs of the linear layer.") var outputs: Int?
  @Option(help: "Attention heads.") var heads: Int?
  @Option(help: "How matrices and kernels are stored; vectors are float32.") var dtype: BenchmarkFormat?
  @Option(help: "Frames of the video, 4n+1.") var frames: Int?
  @Option(help: "Height and width of the video in pixels.") var size: Int?
  @OptionGroup(title: "Device") var device: DeviceOptions
  @Option(help: "Under mpirun: neighbouring ranks that exchange heads.") var ulyssesDegree: Int?
  @Option(help: "Under mpirun: groups of ranks that pass keys and values round.") var ringDegree: Int?
  @Option(help: "Timed runs after a warm-up; the median counts.") var runs = 5
  @Flag(help: "For work of minutes on random weights, whose first run is nearly like the others.") var noWarmUp = false
  @Option(
    help: ArgumentHelp(
      "For step: take this transformer's weights, read ahead from disk where they are larger than half of the memory.",
      valueName: "path"))
  var ditWeight: String?
  @Option(
    help: ArgumentHelp(
      """
      Run in turns without and with something, and print what it costs: check (the search for NaN and infinity), profile, \
      offload (weights of --dit-weight on disk, not in memory) or offload-cached (in the system's memory of files).
      """, valueName: "what"))
  var overhead: BenchmarkOverhead.Kind?
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let session = try RankSession.join()
    if conformance { return try runConformance(session) }
    let (request, layout, file) = try session.together { try RefusedBeforeWork.checking { try checked(session) } }
    if layout.ranks > 1 { return try run(request, on: session, layout) }
    let device = try session.together { try RefusedBeforeWork.checking { try self.device.open(session) } }
    device.tellWarnings(session)
    let context = ForwardContext(backend: request.kind.backend(of: device.backends(streamsWeights: false)))
    let timer = BenchmarkTimer(threads: device.threads)
    let work = try BenchmarkWork.prepare(request, weights: file, in: context)
    let before = try device.measurePeak()
    HostBufferPool.shared.trim()
    ProcessMemory.resetPeak()
    var streaming = context
    if let file, overhead == nil, RunOptions.isLarge(file.byteCount) { streaming.weightStreaming = file.readAhead }
    let firstBlock = FirstBlock()
    var warming = streaming
    warming.recorder = firstBlock
    // Weights in a file are read ahead for the first step whatever their size: that tells which of them the others do without.
    if let file { warming.weightStreaming = file.readAhead }
    if !noWarmUp || file != nil { try work?.run(in: warming) }
    file?.firstStepDidEnd()
    // Where the steps to come have all weights in memory, what was let go comes back before they are timed.
    if overhead == nil, streaming.weightStreaming == nil { file?.move(to: .memory) }
    let cost = try work.flatMap { work in
      try overhead.map { try BenchmarkOverhead($0, of: work, runs: runs, in: context, timer: timer) }
    }
    // Clocks change from second to second: the peak is measured beside every run.
    var peaks: [Double] = []
    if let work, overhead == nil {
      peaks.append(try device.measureOperations())
      for _ in 0..<runs {
        try timer.time { try work.run(in: streaming) }
        peaks.append(try device.measureOperations())
      }
    }
    let peakBytes = ProcessMemory.peakResidentBytes()
    let after = try device.measurePeak()
    var result = BenchmarkResult(
      request, timer: timer, operations: work?.operations ?? 0,
      peaks: peaks.isEmpty ? [max(before.operationsPerSecond, after.operationsPerSecond)] : peaks,
      bandwidth: max(before.bytesPerSecond, after.bytesPerSecond), peakRSSBytes: peakBytes, dtype: file?.storageName,
      overhead: cost, device: device)
    if let file { result.firstBlockSeconds = file.preparationSeconds + firstBlock.seconds }
    try Console.result(json ? result.json() : result.text)
  }

  /// Times all ranks of a launch, and one of them with all their threads or with its card; the first prints.
  private func run(_ request: BenchmarkRequest, on session: RankSession, _ layout: RankLayout) throws {
    let all: any ComputeDevice
    let benchmark: RankBenchmark
    if isOnProcessor {
      let threads = device.threads ?? max(1, AvailableCores.count / layout.ranks)
      all = try ProcessorDevice(threads: threads * layout.ranks)
      benchmark = try RankBenchmark(session, layout: layout, threads: threads)
    } else {
      all = try session.together { try RefusedBeforeWork.checking { try device.open(session) } }
      all.tellWarnings(session)
      benchmark = try session.together { try RankBenchmark(session, layout: layout, on: all) }
    }
    /// Of one of the cards, or of the processor that ranks share.
    let devices = Double(isOnProcessor ? 1 : layout.ranks)
    let before = session.isFirst ? try all.measurePeak() : nil
    let (timer, operations, ranks) = try benchmark.run(request, runs: runs) {
      HostBufferPool.shared.trim()
      ProcessMemory.resetPeak()
    }
    let peakBytes = ProcessMemory.peakResidentBytes()
    if session.isFirst {
      let after = try all.measurePeak()
      var result = BenchmarkResult(
        request, timer: timer, operations: operations,
        peaks: [devices * max(before?.operationsPerSecond ?? 0, after.operationsPerSecond)],
        bandwidth: devices * max(before?.bytesPerSecond ?? 0, after.bytesPerSecond), peakRSSBytes: peakBytes,
        device: all)
      result.ranks = ranks
      try Console.result(json ? result.json() : result.text)
    }
    try session.finish()
  }

  private var isOnProcessor: Bool { device.device == nil || device.device == "cpu" }

  /// The weights of `--dit-weight`.
  private func weights() throws -> BenchmarkFile? {
    guard let ditWeight else { return nil }
    let file = try BenchmarkFile(path: ditWeight, windowBytes: Forecaster.windows[0])
    if overhead?.needsFile == true, RunOptions.isLarge(file.byteCount) {
      throw RequestError(
        "weights do not fit", at: ditWeight, expected: "a file of at most half of the memory, to compare with",
        found: "\(file.byteCount) bytes",
        remedy: "leave out --overhead, or make one of fewer blocks: see hyvideo convert --help"
      )
    }
    return file
  }

  private func checked(_ session: RankSession) throws -> (BenchmarkRequest, RankLayout, BenchmarkFile?) {
    var chosen: [BenchmarkSize: Int?] = [
      .tokens: tokens, .textTokens: textTokens, .width: width, .outputs: outputs, .heads: heads, .frames: frames,
      .size: size,
    ]
    if !(1...1000).contains(runs) {
      throw RequestError(
        "invalid count", at: "--runs", expected: "1 to 1000", found: "\(runs)", remedy: "choose another value")
    }
    try device.requireThreads()
    guard let kind else {
      throw RequestError(
        "nothing to time", at: "KIND",
        expected: BenchmarkKind.allCases.map(\.rawValue).joined(separator: ", ") + " or --conformance",
        found: "nothing", remedy: "for example hyvideo bench linear")
    }
    try requireFitting(session)
    let file = try weights()
    if let file { (chosen[.width], chosen[.heads]) = try (file.width, file.headCount) }
    let request = try BenchmarkRequest(kind, sizes: chosen.compactMapValues { $0 }, format: dtype)
    let layout = try RankBenchmark.layout(
      ulysses: ulyssesDegree, ring: ringDegree, session: session, heads: request.sizes[.heads])
    if layout.ranks > 1 { try requireShared(kind, layout) }
    return (request, layout, file)
  }

  /// Weights in a file are for one rank's step, and say how wide they are.
  private func requireFitting(_ session: RankSession) throws(RequestError) {
    func refused(_ what: String, _ flag: String, _ expected: String, _ found: String) -> RequestError {
      RequestError(what, at: flag, expected: expected, found: found, remedy: "see hyvideo bench --help")
    }
    if ditWeight == nil {
      guard let overhead, overhead.needsFile else { return }
      throw refused("missing weights", "--overhead \(overhead.rawValue)", "--dit-weight", "none")
    }
    if kind != .step { throw refused("unused flag", "--dit-weight", "step", kind?.rawValue ?? "nothing") }
    if session.group.size > 1 {
      throw refused("unused flag", "--dit-weight", "one rank", "\(session.group.size) ranks")
    }
    for (flag, isGiven) in [("--width", width != nil), ("--heads", heads != nil), ("--dtype", dtype != nil)]
    where isGiven {
      throw refused("unused flag", flag, "what the weights of --dit-weight are", "another")
    }
  }

  /// Several ranks share blocks, and on a processor are compared with one that has all their cores.
  private func requireShared(_ kind: BenchmarkKind, _ layout: RankLayout) throws(RequestError) {
    if !kind.isShared {
      throw RequestError(
        "work for one rank", at: kind.rawValue,
        expected: BenchmarkKind.allCases.filter(\.isShared).map(\.rawValue).joined(separator: ", "),
        found: "\(layout.ranks) ranks", remedy: "start it without mpirun")
    }
    if overhead != nil {
      throw RequestError(
        "unused flag", at: "--overhead", expected: "one rank", found: "\(layout.ranks) ranks",
        remedy: "start it without mpirun")
    }
    // Cards take no cores from each other, and compute in any of their types.
    if !isOnProcessor { return }
    if let precision = device.precision, precision != DType.float32.word {
      throw RequestError(
        "several ranks", at: "--precision", expected: "fp32", found: precision, remedy: "start it without mpirun")
    }
    let needed = layout.ranks * (device.threads ?? 1)
    if AvailableCores.count < needed {
      throw RequestError(
        "too few cores", at: "--threads", expected: "\(needed) cores that one rank may use",
        found: "\(AvailableCores.count)", remedy: "start with mpirun --bind-to none, or ask for fewer threads")
    }
  }
}
