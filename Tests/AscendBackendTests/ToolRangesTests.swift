import AscendBackend
import CAscend
import Testing

/// What profilers are told, by either library, and the rules of the older.
@Suite struct ToolRangesTests {
  private static let mstx: Set = ["mstxMarkA", "mstxRangeStartA", "mstxRangeEnd"]

  @Test(arguments: [[], ToolRangesTests.mstx])
  func `ranges and marks reach the profiler, also without the newer library`(_ hidden: Set<String>) throws {
    let emulator = try EmulatedCANN()
    do {
      let device = try emulator.backend(hiding: hidden).device
      let ranges = try #require(ToolRanges(device))
      let outer = ranges.begin("denoise")
      let inner = ranges.begin("step 1")
      ranges.mark("double_blocks.0")
      #expect(outer != 0 && inner != 0 && outer != inner)
      ranges.finish(inner)
      ranges.finish(outer)
      // More than there are stamps at a time.
      for step in 2...150 { ranges.finish(ranges.begin("step \(step)")) }
    }
    let expected = ["mark double_blocks.0", "range step 1", "range denoise"] + (2...150).map { "range step \($0)" }
    #expect(try emulator.ranges() == expected)
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test(arguments: [[], ToolRangesTests.mstx])
  func `names are cut to what profilers take, between characters`(_ hidden: Set<String>) throws {
    let emulator = try EmulatedCANN()
    let ranges = try #require(ToolRanges(try emulator.backend(hiding: hidden).device))
    // Three bytes each: 126 bytes are 42 of them.
    ranges.mark(String(repeating: "块", count: 100))
    ranges.finish(ranges.begin("b" + String(repeating: "块", count: 100)))
    #expect(
      try emulator.ranges() == [
        "mark " + String(repeating: "块", count: 42), "range b" + String(repeating: "块", count: 41),
      ])
    #expect(try emulator.violations() == [])
  }

  @Test func `a CANN with neither library has no ranges`() throws {
    let emulator = try EmulatedCANN()
    let device = try emulator.backend(hiding: Self.mstx.union(["aclprofCreateStamp"])).device
    #expect(ToolRanges(device) == nil)
  }

  @Test func `without a profiler stamps are asked for once`() throws {
    let emulator = try EmulatedCANN()
    let record = try emulator.function(
      "ascend_emulator_record_ranges", (@convention(c) (Int32) -> Void).self)
    let ranges = try #require(ToolRanges(try emulator.backend(hiding: Self.mstx).device))
    record(0)
    #expect(ranges.begin("step 1") == 0)
    record(1)
    #expect(ranges.begin("step 2") == 0)
    ranges.mark("block")
    #expect(try emulator.ranges() == [])
    #expect(try emulator.violations() == [])
  }

  // MARK: Rules of stamps

  @Test func `a stamp is described before its range begins, stopped before it goes, and goes once`() throws {
    let bench = try StampBench()
    var number: UInt32 = 0
    let stamp = try #require(bench.create())
    #expect(bench.start(stamp, &number) != 0)
    try bench.expectViolation("a range without a name")
    #expect(bench.describe(stamp, "step", 4) == 0)
    #expect(bench.start(stamp, &number) == 0)
    #expect(bench.start(stamp, &number) != 0)
    try bench.expectViolation("aclprofRangeStart: its range is under way")
    bench.destroy(stamp)
    try bench.expectViolation("aclprofDestroyStamp: its range is under way")
    #expect(try bench.emulator.leaks().contains("stamp of a profiler"))
    #expect(bench.stop(number) == 0)
    #expect(bench.stop(number) != 0)
    try bench.expectViolation("no range under way has this number")
    bench.destroy(stamp)
    bench.destroy(stamp)
    try bench.expectViolation("not a living stamp")
    #expect(try !bench.emulator.leaks().contains("stamp of a profiler"))
  }

  @Test func `stamps are a hundred, their texts 126 bytes with their length`() throws {
    let bench = try StampBench()
    let stamps = (0..<100).map { _ in bench.create() }
    #expect(stamps.allSatisfy { $0 != nil } && Set(stamps).count == 100)
    #expect(bench.create() == nil)
    try bench.expectViolation("more than 100 stamps")
    let longest = String(repeating: "x", count: 126)
    #expect(bench.describe(stamps[0], longest, 126) == 0)
    #expect(bench.describe(stamps[0], longest + "x", 127) != 0)
    #expect(bench.describe(stamps[0], longest, 125) != 0)
    try bench.expectViolation("not the length of at most 126 bytes")
    #expect(bench.describe(stamps[0], "=1", 2) != 0)
    try bench.expectViolation("begins as formulas do")
    for stamp in stamps { bench.destroy(stamp) }
  }

  @Test func `a mark has a stream and a length`() throws {
    let bench = try StampBench()
    let mark = try bench.emulator.function("aclprofMarkEx", aclprofMarkExFunction.self)
    #expect(mark("block", 5, nil) != 0)
    #expect(mark("block", 4, nil) != 0)
    try bench.expectViolation("no such stream")
    try bench.expectViolation("not the length of the name")
    #expect(try bench.emulator.ranges() == [])
  }
}

/// The functions of stamps.
private struct StampBench {
  let emulator: EmulatedCANN
  let create: aclprofCreateStampFunction
  let destroy: aclprofDestroyStampFunction
  let describe: aclprofSetStampTraceMessageFunction
  let start: aclprofRangeStartFunction
  let stop: aclprofRangeStopFunction

  init() throws {
    emulator = try EmulatedCANN()
    create = try emulator.function("aclprofCreateStamp", aclprofCreateStampFunction.self)
    destroy = try emulator.function("aclprofDestroyStamp", aclprofDestroyStampFunction.self)
    describe = try emulator.function("aclprofSetStampTraceMessage", aclprofSetStampTraceMessageFunction.self)
    start = try emulator.function("aclprofRangeStart", aclprofRangeStartFunction.self)
    stop = try emulator.function("aclprofRangeStop", aclprofRangeStopFunction.self)
  }

  func expectViolation(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let violations = try emulator.violations()
    #expect(violations.contains { $0.contains(text) }, "\(violations)", sourceLocation: sourceLocation)
  }
}
