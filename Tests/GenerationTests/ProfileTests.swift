import CPUBackend
import Checkpoints
import Collectives
import Foundation
import Generation
import HunyuanVideo
import Layers
import StrictJSON
import Synchronization
import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite(.serialized) struct ProfileTests {
  private let path = NSTemporaryDirectory() + "hyvideo-\(UUID().uuidString).trace.json"

  /// Runs a sample on some ranks with profiles and reads the trace.
  private func trace(
    _ sample: TinySample, ranks: Int, extent: Profiler.Extent = .run
  ) throws -> (checker: TraceChecker, latents: [Tensor], sent: [CommunicationStatistics]) {
    let path = path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let results = try LoopbackGroup.run(ranks, delay: .milliseconds(1)) { plain in
      let profiler = try Profiler(extent, group: plain)
      let group = ProfilingGroup(plain, recordingTo: profiler)
      let before = plain.statistics
      let context = ForwardContext(
        backend: ProfilingBackend(CPUBackend(threads: 1), recordingTo: profiler), recorder: profiler)
      profiler.begin(.stage, "denoise")
      let latents = try sample.denoised(
        SequenceGroup(group, layout: RankLayout(ulysses: ranks, ring: 1)), in: context)
      profiler.end(.stage, skipped: false)
      let sent = plain.statistics.since(before)
      try profiler.write(to: path, TraceDescription(generator: "test", threads: 1), group: plain)
      return (latents, sent)
    }
    let checker = TraceChecker(try JSONValue(contentsOf: path))
    #expect(checker.problems.isEmpty, "\(checker.problems.prefix(5))")
    return (checker, results.map(\.0), results.map(\.1))
  }

  @Test func `blocks fill each step, operations are those of the formula, and the result is the same`() throws {
    let sample = TinySample(latents: [1, 16, 5, 24, 32], textTokens: 20, guidanceScale: 1)
    let (checker, latents, _) = try trace(sample, ranks: 1)
    #expect(latents[0].floats() == (try sample.denoised()).floats(), "a profile changed the result")
    let configuration = try TinySample.configuration()
    let steps = checker.slices("step")
    #expect(steps.map(\.name) == (1...sample.steps).map { "step \($0)" })
    let formula = configuration.operationsPerStep(tokens: 5 * 12 * 16, textTokens: 20)
    for step in steps {
      func inside(_ category: String) -> [TraceChecker.Slice] {
        checker.slices(category).filter { step.start <= $0.start && $0.end <= step.end }
      }
      let blocks = inside("block")
      let covered = blocks.reduce(0) { $0 + $1.duration }
      #expect(abs(covered - step.duration) * 100 <= 3 * step.duration, "\(covered) of \(step.duration) ns")
      #expect(
        blocks.count { $0.name.contains("double_blocks.") } == configuration.doubleBlockCount
          && blocks.count { $0.name.contains("single_blocks.") } == configuration.singleBlockCount, "\(step.name)")
      let operations = inside("operation").reduce(0) { $0 + ($1.arguments["operations"].int ?? 0) }
      // The first step makes the modulation of all.
      let once = step.name == "step 1" ? configuration.modulationOperations(steps: sample.steps) : 0
      #expect(Double(operations) == formula + once, "\(step.name): \(operations) for \(formula) and \(once)")
    }
    for key in ["tensors", "process", "files"] {
      #expect(checker.counters["memory"]?.contains { ($0[key] ?? 0) > 0 } == true, "no \(key)")
    }
  }

  @Test func `ranks are processes of one file, with one clock and all their transfers`() throws {
    let sample = TinySample(latents: [1, 16, 3, 8, 12], textTokens: 7, guidanceScale: 1)
    let (checker, _, sent) = try trace(sample, ranks: 3)
    #expect(checker.processNames == [0: "rank 0", 1: "rank 1", 2: "rank 2"])
    for rank in 0..<3 {
      let moved = (checker.transfers[rank] ?? []).reduce(0) { $0 + $1.bytes }
      #expect(moved > sent[rank].bytesSent && moved < 3 * sent[rank].bytesSent, "rank \(rank): \(moved) bytes")
      let waited = Double(checker.slices("communication", rank: rank).reduce(0) { $0 + $1.duration }) / 1e9
      // Both clocks run from the call to its return; between them a busy machine may run other threads.
      #expect(abs(waited - sent[rank].exposedSeconds) <= 0.25 * waited + 0.05, "rank \(rank) waited \(waited) s")
    }
    let received = sent.reduce(0) { $0 + $1.bytesSent }
    let moved = (0..<3).reduce(0) { $0 + (checker.transfers[$1] ?? []).reduce(0) { $0 + $1.bytes } }
    // What splitting groups takes is under way before the parts are recorded: two small messages to every rank.
    #expect(abs(moved - 2 * received) <= 3 * 2 * 2 * 24, "what is sent is received: \(moved) of 2 x \(received)")
    // No rank can end a step before all have begun it: their keys and values are missing.
    for step in (1...sample.steps).map({ "step \($0)" }) {
      let slices = checker.slices("step").filter { $0.name == step }
      let (starts, ends) = (slices.map(\.start), slices.map(\.end))
      #expect(slices.count == 3 && (starts.max() ?? 0) < (ends.min() ?? 0), "\(step): \(starts), \(ends)")
    }
  }

  /// A device that takes a microsecond from each mark to the next.
  private final class CountingClock: DeviceClock {
    private let count = Mutex(0)
    func start() {}
    func mark() -> Int {
      count.withLock { count in
        defer { count += 1 }
        return count
      }
    }
    func moments() -> [Int64] { count.withLock { (1...Int64($0)).map { 1000 * $0 } } }
  }

  @Test func `a device with a clock has a track of its own, with stages, steps, blocks and operations`() throws {
    let sample = TinySample(latents: [1, 16, 1, 4, 4], textTokens: 2, guidanceScale: 1)
    let path = path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let profiler = try Profiler(.denoising, deviceClock: CountingClock())
    let context = ForwardContext(
      backend: ProfilingBackend(CPUBackend(threads: 1), recordingTo: profiler), recorder: profiler)
    // Nothing of this is recorded.
    _ = try context.backend.contiguous(Tensor(repeating: 1, shape: [2, 2]))
    profiler.begin(.stage, "denoise")
    _ = try sample.denoised(in: context)
    profiler.end(.stage, skipped: false)
    try profiler.write(to: path, TraceDescription(generator: "test", threads: 1))
    let checker = TraceChecker(try JSONValue(contentsOf: path))
    #expect(checker.problems.isEmpty, "\(checker.problems.prefix(5))")
    let device = checker.slices("device")
    let work = ["stage", "step", "block", "operation"].flatMap { checker.slices($0) }
    #expect(device.map(\.name).sorted() == work.map(\.name).sorted())
    // Between the two marks of an operation there is none.
    let names = Set(checker.slices("operation").map(\.name))
    #expect(device.filter { names.contains($0.name) }.allSatisfy { $0.duration == 1000 })
    let summary = ProfileSummary(try Trace(contentsOf: path))
    #expect(summary.steps == sample.steps && summary.blocks.allSatisfy { $0.calls > 0 })
  }

  @Test func `only the steps are recorded where the transformer alone is asked for`() throws {
    let sample = TinySample(latents: [1, 16, 1, 4, 4], textTokens: 2, guidanceScale: 1)
    let path = path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let profiler = try Profiler(.denoising)
    let context = ForwardContext(
      backend: ProfilingBackend(CPUBackend(threads: 1), recordingTo: profiler), recorder: profiler)
    profiler.begin(.stage, "prepare steps")
    _ = try context.backend.contiguous(Tensor(repeating: 1, shape: [2, 2]))
    profiler.end(.stage, skipped: false)
    profiler.begin(.stage, "denoise")
    _ = try sample.denoised(in: context)
    // A failure leaves the stage open: writing ends it.
    try profiler.write(to: path, TraceDescription(generator: "test", threads: 1))
    let checker = TraceChecker(try JSONValue(contentsOf: path))
    #expect(checker.problems.isEmpty && checker.slices("stage").map(\.name) == ["denoise"])
    #expect(checker.slices("step").count == sample.steps)
  }

  @Test func `a summary adds up what the trace holds`() throws {
    let sample = TinySample(latents: [1, 16, 3, 8, 12], textTokens: 7, guidanceScale: 1)
    let path = path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let profiler = try Profiler(.run)
    profiler.begin(.stage, "denoise")
    _ = try sample.denoised(
      in: ForwardContext(backend: ProfilingBackend(CPUBackend(threads: 1), recordingTo: profiler), recorder: profiler))
    profiler.end(.stage, skipped: false)
    var description = TraceDescription(generator: "test", threads: 1)
    description.peakOperationsPerSecond = 1e12
    try profiler.write(to: path, description)

    let summary = ProfileSummary(try Trace(contentsOf: path))
    #expect(summary.steps == sample.steps && summary.ranks == 1 && summary.peakGflops == 1000)
    #expect(abs(summary.operations.reduce(0) { $0 + $1.share } - 1) < 0.001, "shares of operations and what is between")
    let linear = try #require(summary.operations.first { $0.name == "linear" })
    let rate = try #require(linear.gflops)
    #expect(abs(rate - linear.operations / linear.seconds / 1e9) < 1e-9 && linear.shareOfPeak == rate / 1000)
    let blocks = try #require(summary.blocks.first { $0.name == "transformer: double_blocks" })
    #expect(blocks.calls == sample.steps * (try TinySample.configuration().doubleBlockCount))
    #expect(blocks.operations > 0 && summary.stages.map(\.name) == ["denoise"])
    let given = ProfileSummary(try Trace(contentsOf: path), peakGflops: 500)
    #expect(given.operations.first { $0.name == "linear" }?.shareOfPeak == rate / 500)

    // Broken files are errors.
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    for broken in [bytes.prefix(bytes.count / 2), bytes.prefix(1), Data("{\"traceEvents\":[]}".utf8), Data("[1]".utf8)]
    {
      try broken.write(to: URL(fileURLWithPath: path))
      #expect(throws: CheckpointError.self) { try Trace(contentsOf: path) }
    }
  }
}
