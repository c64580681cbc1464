import CAscend
import Testing

/// Work on several streams: what events order, and what nothing orders.
@Suite struct EmulatorStreamTests {
  private let bench: EmulatorBench
  private let first: UnsafeMutableRawPointer
  private let second: UnsafeMutableRawPointer
  private let third: UnsafeMutableRawPointer
  private let other: aclrtStream
  private let event: aclrtEvent

  init() throws {
    bench = try EmulatorBench()
    (first, second, third) = (try bench.allocate(64), try bench.allocate(64), try bench.allocate(64))
    (other, event) = (try bench.anotherStream(), try bench.event())
  }

  @Test func `reading on one stream what another writes, with no event between, is refused`() throws {
    #expect(try bench.copy(first, to: second, on: bench.stream) == 0)
    #expect(try bench.copy(second, to: third, on: other) != 0)
    try bench.expectViolation("reads what aclrtMemcpyAsync writes on another stream, with no event")
  }

  @Test func `writing on one stream what another reads, with no event between, is refused`() throws {
    #expect(try bench.copy(first, to: second, on: bench.stream) == 0)
    #expect(try bench.copy(third, to: first, on: other) != 0)
    try bench.expectViolation("writes what aclrtMemcpyAsync reads on another stream")
  }

  @Test func `writing on two streams is refused`() throws {
    #expect(try bench.copy(first, to: third, on: bench.stream) == 0)
    #expect(try bench.copy(second, to: third, on: other) != 0)
    try bench.expectViolation("writes what aclrtMemcpyAsync writes on another stream")
  }

  @Test func `reading on two streams, and other bytes of the same block, are allowed`() throws {
    #expect(try bench.copy(first, to: second, on: bench.stream) == 0)
    #expect(try bench.copy(first, to: third, on: other) == 0)
    #expect(try bench.copy(first, to: second + 32, on: other) == 0)
    #expect(try bench.emulator.violations() == [])
  }

  @Test func `an operator's operands are watched as copies are`() throws {
    let call = try bench.prepared()
    #expect(try bench.copy(first, to: call.memory, on: other) == 0)
    #expect(try bench.run(call.executor, call.workspace, call.size) != 0)
    try bench.expectViolation("aclnnAdd reads what aclrtMemcpyAsync writes on another stream")
  }

  @Test func `a workspace on two streams is refused`() throws {
    let (call, another) = (try bench.prepared(), try bench.prepared())
    #expect(try bench.run(call.executor, call.workspace, call.size) == 0)
    #expect(try bench.run(another.executor, call.workspace, another.size, on: other) != 0)
    try bench.expectViolation("aclnnAdd writes what aclnnAdd writes on another stream")
  }

  @Test func `a stream that waits for an event comes after what precedes it`() throws {
    var pinned: UnsafeMutableRawPointer?
    _ = try bench.emulator.function("aclrtMallocHost", aclrtMallocHostFunction.self)(&pinned, 4)
    let host = try #require(pinned)
    let copy = try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)
    host.storeBytes(of: 7, as: Int32.self)
    #expect(copy(first, 4, host, 4, ACL_MEMCPY_HOST_TO_DEVICE, bench.stream) == 0)
    #expect(try bench.record(event, bench.stream) == 0)
    #expect(try bench.wait(other, for: event) == 0)
    #expect(try bench.copy(first, to: second, on: other) == 0)
    // Only the other stream is waited for: it brings the first along.
    #expect(try bench.synchronize(other) == 0)
    host.storeBytes(of: 0, as: Int32.self)
    #expect(copy(host, 4, second, 4, ACL_MEMCPY_DEVICE_TO_HOST, other) == 0)
    #expect(try bench.synchronize(other) == 0)
    #expect(host.load(as: Int32.self) == 7)
    #expect(try bench.emulator.violations() == [])
  }

  @Test func `an event orders what came before its record, not after`() throws {
    #expect(try bench.record(event, bench.stream) == 0)
    #expect(try bench.copy(first, to: second, on: bench.stream) == 0)
    #expect(try bench.wait(other, for: event) == 0)
    #expect(try bench.copy(second, to: third, on: other) != 0)
    try bench.expectViolation("with no event between them")
  }

  @Test func `a wait is for the event's last record when it is asked for`() throws {
    #expect(try bench.copy(first, to: second, on: bench.stream) == 0)
    #expect(try bench.record(event, bench.stream) == 0)
    #expect(try bench.wait(other, for: event) == 0)
    #expect(try bench.record(event, other) == 0)
    #expect(try bench.copy(second, to: third, on: other) == 0)
    #expect(try bench.synchronize(other) == 0)
    #expect(try bench.emulator.violations() == [])
  }

  @Test func `what the host has waited for is before everything`() throws {
    #expect(try bench.copy(first, to: second, on: bench.stream) == 0)
    #expect(try bench.synchronize() == 0)
    #expect(try bench.copy(second, to: third, on: other) == 0)
    #expect(try bench.emulator.violations() == [])
  }

  @Test func `waiting for an event that nobody has recorded is refused`() throws {
    #expect(try bench.wait(other, for: event) != 0)
    try bench.expectViolation("never been recorded")
  }

  @Test func `time between events is that of one stream, once it has passed them`() throws {
    let elapsed = try bench.emulator.function("aclrtEventElapsedTime", aclrtEventElapsedTimeFunction.self)
    let (begin, end) = (try bench.event(isTimed: true), try bench.event(isTimed: true))
    #expect(try bench.record(begin, bench.stream) == 0)
    #expect(try bench.copy(first, to: second, on: bench.stream) == 0)
    #expect(try bench.record(end, bench.stream) == 0)
    var time: Float = -1
    #expect(elapsed(&time, begin, end) == 107006)
    #expect(try bench.synchronize() == 0)
    #expect(elapsed(&time, begin, end) == 0 && time >= 0)
    #expect(try bench.emulator.violations() == [])
    #expect(try bench.record(end, other) == 0)
    #expect(elapsed(&time, begin, end) == 107000)
    #expect(elapsed(&time, begin, event) == 107000)
    #expect(try bench.emulator.violations().count == 2)
  }

  @Test func `streams, events and memory of another device are refused`() throws {
    let emulator = try EmulatedCANN(devices: 2)
    let here = try EmulatorBench(emulator)
    let (memory, event) = (try here.allocate(32), try here.event())
    let x = try here.tensor(memory)
    let there = try EmulatorBench(emulator, device: 1)
    #expect(try there.synchronize(here.stream) == 107003)
    #expect(try there.record(event, there.stream) == 107003)
    #expect(try there.prepare(x, x, x).status != 0)
    #expect(try there.copy(memory, to: memory + 16, on: there.stream) != 0)
    let texts = try emulator.violations()
    #expect(
      texts.count == 4 && texts[2].contains("another device's") && texts[3].contains("another device"), "\(texts)")
  }
}
