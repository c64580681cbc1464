import CAscend
import Testing

/// An emulator with a device set on this thread, and its functions.
struct EmulatorBench {
  let emulator: EmulatedCANN
  let stream: aclrtStream

  /// - Parameter device: Of those of the emulator.
  init(_ emulator: EmulatedCANN? = nil, device: Int32 = 0) throws {
    self.emulator = try emulator ?? EmulatedCANN()
    _ = try self.emulator.function("aclInit", aclInitFunction.self)(nil)
    _ = try self.emulator.function("aclrtSetDevice", aclrtSetDeviceFunction.self)(device)
    stream = try EmulatorBench.stream(self.emulator)
  }

  private static func stream(_ emulator: EmulatedCANN) throws -> aclrtStream {
    var made: aclrtStream?
    _ = try emulator.function("aclrtCreateStreamWithConfig", aclrtCreateStreamWithConfigFunction.self)(&made, 0, 3)
    return try #require(made)
  }

  /// A further stream.
  func anotherStream() throws -> aclrtStream { try EmulatorBench.stream(emulator) }

  func event(isTimed: Bool = false) throws -> aclrtEvent {
    var made: aclrtEvent?
    _ = try emulator.function("aclrtCreateEventExWithFlag", aclrtCreateEventExWithFlagFunction.self)(
      &made, UInt32(CASCEND_EVENT_SYNC | (isTimed ? CASCEND_EVENT_TIME_LINE : 0)))
    return try #require(made)
  }

  func record(_ event: aclrtEvent, _ stream: aclrtStream) throws -> aclError {
    try emulator.function("aclrtRecordEvent", aclrtRecordEventFunction.self)(event, stream)
  }

  func wait(_ stream: aclrtStream, for event: aclrtEvent) throws -> aclError {
    try emulator.function("aclrtStreamWaitEvent", aclrtStreamWaitEventFunction.self)(stream, event)
  }

  /// A copy of four bytes within the device.
  func copy(
    _ source: UnsafeMutableRawPointer, to target: UnsafeMutableRawPointer, on stream: aclrtStream
  ) throws -> aclError {
    try emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)(
      target, 4, source, 4, ACL_MEMCPY_DEVICE_TO_DEVICE, stream)
  }

  func allocate(_ byteCount: Int) throws -> UnsafeMutableRawPointer {
    var address: UnsafeMutableRawPointer?
    _ = try emulator.function("aclrtMalloc", aclrtMallocFunction.self)(&address, byteCount, ACL_MEM_MALLOC_HUGE_FIRST)
    return try #require(address)
  }

  func tensor(
    _ address: UnsafeMutableRawPointer?, _ count: Int64 = 8, type: aclDataType = ACL_FLOAT, offset: Int64 = 0,
    stride: Int64 = 1, stored: Int64? = nil
  ) throws -> OpaquePointer? {
    var (count, stride, stored) = (count, stride, stored ?? count)
    return try emulator.function("aclCreateTensor", aclCreateTensorFunction.self)(
      &count, 1, type, &stride, offset, ACL_FORMAT_ND, &stored, 1, address)
  }

  /// Phase one of an addition.
  func prepare(
    _ x: OpaquePointer?, _ y: OpaquePointer?, _ out: OpaquePointer?
  ) throws -> (status: Int32, workspace: UInt64, executor: OpaquePointer?) {
    var (size, executor): (UInt64, OpaquePointer?) = (0, nil)
    var one: Float = 1
    let alpha = try emulator.function("aclCreateScalar", aclCreateScalarFunction.self)(&one, ACL_FLOAT)
    let status = try emulator.function("aclnnAddGetWorkspaceSize", aclnnAddFunction.self)(
      x, y, alpha, out, &size, &executor)
    return (status, size, executor)
  }

  func run(
    _ executor: OpaquePointer?, _ workspace: UnsafeMutableRawPointer?, _ size: UInt64, as name: String = "aclnnAdd",
    on other: aclrtStream? = nil
  ) throws -> Int32 {
    try emulator.function(name, aclnnRunFunction.self)(workspace, size, executor, other ?? stream)
  }

  func synchronize(_ other: aclrtStream? = nil) throws -> aclError {
    try emulator.function("aclrtSynchronizeStream", aclrtSynchronizeStreamFunction.self)(other ?? stream)
  }

  func free(_ address: UnsafeMutableRawPointer?) throws -> aclError {
    try emulator.function("aclrtFree", aclrtFreeFunction.self)(address)
  }

  func destroy(_ tensor: OpaquePointer?) throws -> Int32 {
    try emulator.function("aclDestroyTensor", aclDestroyTensorFunction.self)(tensor)
  }

  /// A correct addition, prepared: what the tests then spoil.
  func prepared() throws -> (
    x: OpaquePointer?, memory: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer, size: UInt64,
    executor: OpaquePointer?
  ) {
    let memory = try allocate(32)
    let x = try tensor(memory)
    let (status, size, executor) = try prepare(x, tensor(memory), tensor(memory))
    #expect(status == 0 && size > 0)
    return (x, memory, try allocate(Int(size)), size, executor)
  }

  func expectViolation(_ text: String) throws {
    let violations = try emulator.violations()
    #expect(violations.count == 1 && violations[0].contains(text), "\(violations)")
  }
}
