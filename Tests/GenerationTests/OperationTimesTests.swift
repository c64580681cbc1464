import CPUBackend
import Foundation
import Generation
import TensorOps
import TensorTesting
import Testing

@Suite struct OperationTimesTests {
  private let provenance = OperationTimes.Provenance(version: "1", device: "cpu", processor: "none", threads: 1)
  private let backend = CPUBackend(threads: 1)

  /// A small video's.
  private func plan() throws -> RunPlan {
    let model = try ModelFolder(Goldens.repositoryPath("Models/demo"))
    var request = GenerationRequest(prompt: "A red ball.", seed: 1, defaults: model.defaults)
    (request.height, request.width, request.frames, request.steps) = (64, 64, 5, 2)
    let planner = try RunPlanner(model) { _ in PlanningBackends(CPUPlanningBackend(for: backend)) }
    return try planner.plan([request], setting: PlanSetting())
  }

  private func work(_ plan: RunPlan) -> OperationCounts {
    plan.stages.reduce(into: OperationCounts()) { $0.add($1.work) }
  }

  @Test func `without time for it everything is guessed`() throws {
    let work = work(try plan())
    var times = OperationTimes(provenance: provenance)
    try times.measure([work], on: backend, forAtMost: -1)
    #expect(times.timings.isEmpty && times.newMemorySecondsPerByte == nil)
    let (seconds, guessed) = times.seconds(of: work)
    #expect(seconds > 0 && abs(guessed / seconds - 1) < 1e-9)
    #expect(times.startSeconds(of: work.calls.keys) == 0)
  }

  @Test func `what weighs most is timed, with its first call and new memory, and read again as it was written`() throws
  {
    let work = work(try plan())
    var times = OperationTimes(provenance: provenance)
    try times.measure([work], on: backend, forAtMost: 60)
    let (seconds, guessed) = times.seconds(of: work)
    #expect(seconds > 0 && guessed < 0.05 * seconds, "\(guessed) of \(seconds) s are guessed")
    #expect(times.timings.allSatisfy { $0.seconds > 0 && $0.startSeconds >= 0 })
    #expect(Set(times.timings.map(\.operation)).count == times.timings.count)
    #expect(times.startSeconds(of: work.calls.keys) > 0)
    // At least 0.01 GB/s.
    let newMemory = try #require(times.newMemorySecondsPerByte)
    #expect((0..<1e-7).contains(newMemory), "\(newMemory) s of a byte")

    let read = try JSONDecoder().decode(OperationTimes.self, from: try JSONEncoder().encode(times))
    #expect(read.provenance == provenance && read.newMemorySecondsPerByte == newMemory)
    #expect(read.seconds(of: work) == (seconds, guessed))
    #expect(read.startSeconds(of: work.calls.keys) == times.startSeconds(of: work.calls.keys))

    // What was timed keeps its time; of the rest, more is worth it now.
    let before = times.timings
    try times.measure([work], on: backend, forAtMost: 60)
    #expect(times.timings.prefix(before.count).map(\.seconds) == before.map(\.seconds))
    #expect(Set(times.timings.map(\.operation)).count == times.timings.count)
  }

  @Test func `kept times that cannot be are not taken`() throws {
    func times(
      _ entry: String, newMemory: String = "1e-9", kind: String = "activate", extents: String = "[1000000]"
    ) throws -> OperationTimes {
      let operation = #"{"kind": "\#(kind)", "extents": \#(extents), "format": ""}"#
      let text = """
        {"provenance": {"version": "1", "device": "cpu", "processor": "none", "threads": 1},
         "timings": [{"operation": \(operation), \(entry)}], "newMemorySecondsPerByte": \(newMemory)}
        """
      return try JSONDecoder().decode(OperationTimes.self, from: Data(text.utf8))
    }
    #expect(try times(#""seconds": 1, "startSeconds": 2"#).timings.count == 1)
    #expect(try times(#""seconds": -1, "startSeconds": 2"#).timings.isEmpty)
    #expect(try times(#""seconds": 1, "startSeconds": -2"#).timings.isEmpty)
    #expect(try times(#""seconds": 1, "startSeconds": 2"#, newMemory: "-1").newMemorySecondsPerByte == nil)
    #expect(throws: (any Error).self) { try times(#""seconds": 1"#) }
    for entry in [#""seconds": 1e19, "startSeconds": 0"#, #""seconds": 1, "startSeconds": 1e308"#] {
      #expect(try times(entry).timings.isEmpty)
    }
    #expect(try times(#""seconds": 1, "startSeconds": 2"#, newMemory: "1e300").newMemorySecondsPerByte == nil)
    let good = #""seconds": 1e-4, "startSeconds": 0"#
    for extents in ["[]", "[1, 2]", "[-1]", "[4611686018427387904]"] {
      #expect(try times(good, extents: extents).timings.isEmpty, "\(extents)")
    }
    #expect(try times(good, kind: "linear", extents: "[1]").timings.isEmpty)
    let many = 1 << 40
    for frames in [0, many] {
      let kept = try times(good, kind: "convolution", extents: "[1, 1, 1, 1, \(frames), 1, 1, \(many), 1, 1]").timings
      #expect(kept.count == 1 && kept.allSatisfy { $0.operation.isPossible })
    }
    #expect(try times(good, kind: "linear", extents: "[1, 8, 8, 1, 0, 0, 0]").timings.count == 1)
  }

  /// Of a short stage beside a long one, too.
  @Test func `stages that take a while are timed, each for itself`() throws {
    let plan = try plan()
    var (long, short) = (OperationCounts(), OperationCounts())
    long.add(try #require(plan[.denoise]).work, times: 10_000_000)
    short.add(try #require(plan[.decode]).work, times: 1000)
    var times = OperationTimes(provenance: provenance)
    try times.measure([long, short], on: backend, forAtMost: 60)
    for stage in [long, short] {
      let (seconds, guessed) = times.seconds(of: stage)
      #expect(seconds > 1 && guessed < 0.06 * seconds, "\(guessed) of \(seconds) s are guessed")
    }
  }
}
