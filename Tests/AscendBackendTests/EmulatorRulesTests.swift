import CAscend
import Testing

/// Each rule of the device, broken on purpose: what the emulator does not notice it cannot vouch for.
@Suite struct EmulatorRulesTests {
  @Test func `a correct addition breaks no rule`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, call.workspace, call.size) == 0)
    #expect(try bench.emulator.runs("aclnnAdd") == 0, "work runs late")
    #expect(try bench.synchronize() == 0)
    #expect(try bench.emulator.runs("aclnnAdd") == 1)
    #expect(try bench.emulator.violations() == [])
  }

  @Test func `calls before aclInit are refused`() throws {
    let emulator = try EmulatedCANN()
    #expect(try emulator.function("aclrtSetDevice", aclrtSetDeviceFunction.self)(0) == 100001)
  }

  @Test func `a thread without a device is refused`() throws {
    let emulator = try EmulatedCANN()
    _ = try emulator.function("aclInit", aclInitFunction.self)(nil)
    var address: UnsafeMutableRawPointer?
    #expect(
      try emulator.function("aclrtMalloc", aclrtMallocFunction.self)(&address, 8, ACL_MEM_MALLOC_HUGE_FIRST) == 107002)
  }

  @Test func `an allocation of nothing is refused`() throws {
    let bench = try EmulatorBench()
    var address: UnsafeMutableRawPointer?
    #expect(
      try bench.emulator.function("aclrtMalloc", aclrtMallocFunction.self)(&address, 0, ACL_MEM_MALLOC_HUGE_FIRST) != 0)
    try bench.expectViolation("no size")
  }

  @Test func `freeing twice is refused`() throws {
    let bench = try EmulatorBench()
    let memory = try bench.allocate(32)
    #expect(try bench.free(memory) == 0)
    #expect(try bench.free(memory) != 0)
    try bench.expectViolation("not the start of a living allocation")
  }

  @Test func `freeing memory that work under way uses is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, call.workspace, call.size) == 0)
    #expect(try bench.free(call.memory) != 0)
    try bench.expectViolation("in use by aclnnAdd")
  }

  @Test func `freeing the workspace of work under way is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, call.workspace, call.size) == 0)
    #expect(try bench.free(call.workspace) != 0)
    try bench.expectViolation("in use by aclnnAdd")
  }

  @Test func `a host address as an operand is refused`() throws {
    let bench = try EmulatorBench()
    let host = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 64)
    defer { host.deallocate() }
    let x = try bench.tensor(host)
    #expect(try bench.prepare(x, x, x).status != 0)
    try bench.expectViolation("not in device memory")
  }

  @Test func `an operand whose base is not aligned is refused`() throws {
    let bench = try EmulatorBench()
    let x = try bench.tensor(bench.allocate(64) + 4)
    #expect(try bench.prepare(x, x, x).status != 0)
    try bench.expectViolation("aligned to 32 bytes")
  }

  @Test func `a view beyond its storage is refused`() throws {
    let bench = try EmulatorBench()
    let x = try bench.tensor(bench.allocate(64), 8, offset: 1, stored: 8)
    #expect(try bench.prepare(x, x, x).status != 0)
    try bench.expectViolation("beyond its storage")
  }

  @Test func `a storage beyond its allocation is refused`() throws {
    let bench = try EmulatorBench()
    let x = try bench.tensor(bench.allocate(16))
    #expect(try bench.prepare(x, x, x).status != 0)
    try bench.expectViolation("beyond the end of its memory")
  }

  @Test func `a result of the wrong shape is refused`() throws {
    let bench = try EmulatorBench()
    let memory = try bench.allocate(64)
    #expect(try bench.prepare(bench.tensor(memory), bench.tensor(memory), bench.tensor(memory, 7)).status != 0)
    try bench.expectViolation("out is [7], not [8]")
  }

  @Test func `a descriptor that was destroyed is refused`() throws {
    let bench = try EmulatorBench()
    let x = try bench.tensor(bench.allocate(32))
    #expect(try bench.destroy(x) == 0)
    #expect(try bench.prepare(x, x, x).status != 0)
    try bench.expectViolation("no living tensor")
  }

  @Test func `destroying a descriptor twice is refused`() throws {
    let bench = try EmulatorBench()
    let x = try bench.tensor(bench.allocate(32))
    #expect(try bench.destroy(x) == 0)
    #expect(try bench.destroy(x) != 0)
    try bench.expectViolation("no living tensor")
  }

  @Test func `destroying a list and its member is refused`() throws {
    let bench = try EmulatorBench()
    var x = try bench.tensor(bench.allocate(32))
    let list = try bench.emulator.function("aclCreateTensorList", aclCreateTensorListFunction.self)(&x, 1)
    #expect(try bench.emulator.function("aclDestroyTensorList", aclDestroyTensorListFunction.self)(list) == 0)
    #expect(try bench.destroy(x) != 0)
    try bench.expectViolation("no living tensor")
  }

  @Test func `destroying an operand between the phases is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.destroy(call.x) == 0)
    #expect(try bench.run(call.executor, call.workspace, call.size) != 0)
    try bench.expectViolation("destroyed between the phases")
  }

  @Test func `running a prepared operator twice is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, call.workspace, call.size) == 0)
    #expect(try bench.run(call.executor, call.workspace, call.size) != 0)
    try bench.expectViolation("no living prepared operator")
  }

  @Test func `running a prepared operator as another is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, call.workspace, call.size, as: "aclnnMul") != 0)
    try bench.expectViolation("the executor is of aclnnAdd")
  }

  @Test func `a missing workspace is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, nil, call.size) == 161001)
    try bench.expectViolation("no workspace")
  }

  @Test func `a workspace that is too small is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, call.workspace, call.size - 1) != 0)
    try bench.expectViolation("less workspace")
  }

  @Test func `a workspace in host memory is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    let host = UnsafeMutableRawPointer.allocate(byteCount: Int(call.size), alignment: 64)
    defer { host.deallocate() }
    #expect(try bench.run(call.executor, host, call.size) != 0)
    try bench.expectViolation("not in device memory")
  }

  @Test func `a copy between addresses of other kinds than it says is refused`() throws {
    let bench = try EmulatorBench()
    let memory = try bench.allocate(32)
    let status = try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)(
      memory, 32, memory, 32, ACL_MEMCPY_HOST_TO_DEVICE, bench.stream)
    #expect(status != 0)
    try bench.expectViolation("direction")
  }

  @Test func `a copy into a target that is too small is refused`() throws {
    let bench = try EmulatorBench()
    let memory = try bench.allocate(32)
    let status = try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)(
      memory, 16, memory, 32, ACL_MEMCPY_DEVICE_TO_DEVICE, bench.stream)
    #expect(status != 0)
    try bench.expectViolation("too small")
  }

  @Test func `pinned memory is read when the stream comes to it`() throws {
    let bench = try EmulatorBench()
    let memory = try bench.allocate(4)
    var pinned: UnsafeMutableRawPointer?
    _ = try bench.emulator.function("aclrtMallocHost", aclrtMallocHostFunction.self)(&pinned, 4)
    let host = try #require(pinned)
    let copy = try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)
    host.storeBytes(of: 1, as: Int32.self)
    #expect(copy(memory, 4, host, 4, ACL_MEMCPY_HOST_TO_DEVICE, bench.stream) == 0)
    host.storeBytes(of: 2, as: Int32.self)
    #expect(copy(host, 4, memory, 4, ACL_MEMCPY_DEVICE_TO_HOST, bench.stream) == 0)
    host.storeBytes(of: 3, as: Int32.self)
    #expect(try bench.synchronize() == 0)
    #expect(host.load(as: Int32.self) == 3, "both copies ran after the last change")
  }

  @Test(arguments: [true, false])
  func `an asynchronous copy from or to memory that is not pinned is refused`(_ isUpload: Bool) throws {
    let bench = try EmulatorBench()
    let memory = try bench.allocate(32)
    let host = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 64)
    defer { host.deallocate() }
    let copy = try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)
    let status =
      isUpload
      ? copy(memory, 32, host, 32, ACL_MEMCPY_HOST_TO_DEVICE, bench.stream)
      : copy(host, 32, memory, 32, ACL_MEMCPY_DEVICE_TO_HOST, bench.stream)
    #expect(status == 107017)
    try bench.expectViolation("the host's memory is not pinned")
  }

  @Test func `changing an operand between the phases is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    let change = try bench.emulator.function("aclSetRawTensorAddr", aclSetRawTensorAddrFunction.self)
    #expect(try change(call.x, bench.allocate(32)) == 0)
    #expect(try bench.run(call.executor, call.workspace, call.size) != 0)
    try bench.expectViolation("an operand was changed between the phases")
  }

  @Test func `what stood in a workspace is gone when its operator has run`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    var pinned: UnsafeMutableRawPointer?
    _ = try bench.emulator.function("aclrtMallocHost", aclrtMallocHostFunction.self)(&pinned, 4)
    let host = try #require(pinned)
    let copy = try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)
    host.storeBytes(of: 1, as: Float.self)
    #expect(copy(call.workspace, 4, host, 4, ACL_MEMCPY_HOST_TO_DEVICE, bench.stream) == 0)
    #expect(try bench.run(call.executor, call.workspace, call.size) == 0)
    #expect(copy(host, 4, call.workspace, 4, ACL_MEMCPY_DEVICE_TO_HOST, bench.stream) == 0)
    #expect(try bench.synchronize() == 0)
    #expect(host.load(as: Float.self).isNaN)
    #expect(try bench.emulator.violations() == [])
  }

  @Test func `a workspace over an operand is refused`() throws {
    let bench = try EmulatorBench()
    let memory = try bench.allocate(4096)
    let x = try bench.tensor(memory)
    let call = try bench.prepare(x, x, bench.tensor(memory + 512))
    #expect(try bench.run(call.executor, memory + 512, call.workspace) != 0)
    try bench.expectViolation("the workspace overlaps an operand")
  }

  @Test(arguments: [true, false])
  func `resetting a device that has streams or events is refused`(_ hasStream: Bool) throws {
    let bench = try EmulatorBench()
    _ = try bench.event()
    if !hasStream {
      #expect(try bench.emulator.function("aclrtDestroyStream", aclrtDestroyStreamFunction.self)(bench.stream) == 0)
    }
    #expect(try bench.emulator.function("aclrtResetDevice", aclrtResetDeviceFunction.self)(0) != 0)
    try bench.expectViolation("the device still has \(hasStream ? "streams" : "events")")
  }

  @Test func `destroying a stream with work is refused`() throws {
    let bench = try EmulatorBench()
    let call = try bench.prepared()
    #expect(try bench.run(call.executor, call.workspace, call.size) == 0)
    #expect(try bench.emulator.function("aclrtDestroyStream", aclrtDestroyStreamFunction.self)(bench.stream) != 0)
    try bench.expectViolation("has work")
  }

  @Test func `what is alive at the end is reported`() throws {
    let bench = try EmulatorBench()
    _ = try bench.prepared()
    #expect(try bench.emulator.leaks().contains { $0 == "prepared operator" })
    #expect(try bench.emulator.function("aclFinalize", aclFinalizeFunction.self)() != 0)
    try bench.expectViolation("are alive")
  }
}
