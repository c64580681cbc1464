import CAscend
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What memory of a device is like.
@Suite struct EmulatorMemoryTests {
  private let bench: EmulatorBench

  init() throws { bench = try EmulatorBench() }

  private func pinned(_ byteCount: Int) throws -> UnsafeMutableRawPointer {
    var address: UnsafeMutableRawPointer?
    _ = try bench.emulator.function("aclrtMallocHost", aclrtMallocHostFunction.self)(&address, byteCount)
    return try #require(address)
  }

  private func copy(
    _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ byteCount: Int, _ kind: aclrtMemcpyKind
  ) throws -> aclError {
    try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)(
      target, byteCount, source, byteCount, kind, bench.stream)
  }

  @Test func `the host cannot read it`() throws {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    #expect(write(ends[1], try bench.allocate(8), 1) == -1 && errno == EFAULT)
  }

  @Test func `new memory holds no number`() throws {
    let (memory, host) = (try bench.allocate(16), try pinned(16))
    #expect(try copy(memory, to: host, 16, ACL_MEMCPY_DEVICE_TO_HOST) == 0)
    #expect(try bench.synchronize() == 0)
    #expect((0..<4).allSatisfy { host.load(fromByteOffset: 4 * $0, as: Float.self).isNaN })
  }

  @Test func `nothing of no size is allocated, and nothing at no address freed`() throws {
    var address: UnsafeMutableRawPointer?
    let allocate = try bench.emulator.function("aclrtMalloc", aclrtMallocFunction.self)
    #expect(allocate(&address, 0, ACL_MEM_MALLOC_HUGE_FIRST) != 0)
    #expect(try bench.free(nil) != 0)
    #expect(try bench.free(bench.allocate(64) + 8) != 0)
    #expect(try bench.emulator.violations().count == 3)
  }

  @Test func `an address is not used again`() throws {
    let memory = try bench.allocate(64)
    #expect(try bench.free(memory) == 0)
    #expect(try bench.free(memory) != 0)
    #expect(try bench.allocate(64) != memory)
  }

  @Test func `pinned memory that waiting work uses is not freed`() throws {
    let (memory, host) = (try bench.allocate(16), try pinned(16))
    #expect(try copy(host, to: memory, 16, ACL_MEMCPY_HOST_TO_DEVICE) == 0)
    #expect(try bench.emulator.function("aclrtFreeHost", aclrtFreeHostFunction.self)(host) != 0)
    try bench.expectViolation("in use by aclrtMemcpyAsync")
  }

  @Test func `sums are rounded to nearest, ties to even, as they are stored`() throws {
    // 1 + 2⁻⁸ and 1 + 2⁻⁷ + 2⁻⁸ are halfway between two numbers.
    let host = try pinned(64)
    let (terms, sum): ([[UInt16]], [UInt16]) = ([[0x3F80, 0x3F81], [0x3B80, 0x3B80]], [0x3F80, 0x3F82])
    var tensors: [OpaquePointer?] = []
    var memories: [UnsafeMutableRawPointer] = []
    for index in 0..<3 {
      memories.append(try bench.allocate(32))
      tensors.append(try bench.tensor(memories[index], 2, type: ACL_BF16))
      guard index < 2 else { continue }
      host.storeBytes(of: terms[index][0], toByteOffset: 4 * index, as: UInt16.self)
      host.storeBytes(of: terms[index][1], toByteOffset: 4 * index + 2, as: UInt16.self)
      #expect(try copy(host + 4 * index, to: memories[index], 4, ACL_MEMCPY_HOST_TO_DEVICE) == 0)
    }
    let call = try bench.prepare(tensors[0], tensors[1], tensors[2])
    #expect(try call.status == 0 && bench.run(call.executor, bench.allocate(Int(call.workspace)), call.workspace) == 0)
    #expect(try copy(memories[2], to: host + 8, 4, ACL_MEMCPY_DEVICE_TO_HOST) == 0)
    #expect(try bench.synchronize() == 0)
    #expect([8, 10].map { host.load(fromByteOffset: $0, as: UInt16.self) } == sum)
    #expect(try bench.emulator.violations() == [])
  }
}
