import CAscend
import Collectives
import Foundation
import Testing

/// The rules of communicators, each broken on purpose: what would hang or corrupt on devices is an error with words here.
@Suite struct EmulatorHCCLTests {
  /// A rank, which is a thread with a device of its own, in a communicator of all.
  private struct Rank {
    let bench: EmulatorBench
    let number: Int
    var communicator: HcclComm?

    func function<Function>(_ name: String, _ type: Function.Type) throws -> Function {
      try bench.emulator.function(name, type)
    }

    func gather(
      _ source: UnsafeMutableRawPointer, _ target: UnsafeMutableRawPointer, _ count: UInt64 = 4,
      type: HcclDataType = HCCL_DATA_TYPE_FP32
    ) throws -> HcclResult {
      try function("HcclAllGather", HcclAllGatherFunction.self)(source, target, count, type, communicator, bench.stream)
    }

    func reduce(
      _ source: UnsafeMutableRawPointer, _ target: UnsafeMutableRawPointer, _ operation: HcclReduceOp
    ) throws -> HcclResult {
      try function("HcclAllReduce", HcclAllReduceFunction.self)(
        source, target, 4, HCCL_DATA_TYPE_FP32, operation, communicator, bench.stream)
    }

    func broadcast(_ memory: UnsafeMutableRawPointer, root: UInt32) throws -> HcclResult {
      try function("HcclBroadcast", HcclBroadcastFunction.self)(
        memory, 4, HCCL_DATA_TYPE_FP32, root, communicator, bench.stream)
    }

    func send(_ memory: UnsafeMutableRawPointer, to peer: Int, _ count: UInt64 = 4) throws -> HcclResult {
      try function("HcclSend", HcclSendFunction.self)(
        memory, count, HCCL_DATA_TYPE_FP32, UInt32(peer), communicator, bench.stream)
    }

    func receive(_ memory: UnsafeMutableRawPointer, from peer: Int) throws -> HcclResult {
      try function("HcclRecv", HcclRecvFunction.self)(
        memory, 4, HCCL_DATA_TYPE_FP32, UInt32(peer), communicator, bench.stream)
    }

    func exchange(_ items: [HcclSendRecvItem]) throws -> HcclResult {
      var items = items
      return try function("HcclBatchSendRecv", HcclBatchSendRecvFunction.self)(
        &items, UInt32(items.count), communicator, bench.stream)
    }

    func item(_ kind: HcclSendRecvType, _ memory: UnsafeMutableRawPointer, _ peer: UInt32) -> HcclSendRecvItem {
      HcclSendRecvItem(sendRecvType: kind, buf: memory, count: 4, dataType: HCCL_DATA_TYPE_FP32, remoteRank: peer)
    }

    func allToAll(
      _ source: UnsafeMutableRawPointer, _ target: UnsafeMutableRawPointer, sending: [UInt64], receiving: [UInt64]
    ) throws -> HcclResult {
      try function("HcclAlltoAllV", HcclAlltoAllVFunction.self)(
        source, sending, [0, 4], HCCL_DATA_TYPE_FP32, target, receiving, [0, 4], HCCL_DATA_TYPE_FP32, communicator,
        bench.stream)
    }

    func part(
      of whole: HcclComm?, _ ranks: [UInt32], number: UInt64, place: UInt32
    ) throws -> (status: HcclResult, made: HcclComm?) {
      var (whole, ranks, made, configuration) = (whole, ranks, HcclComm?.none, EmulatorHCCLTests.configuration())
      let status = try function("HcclCreateSubCommConfig", HcclCreateSubCommConfigFunction.self)(
        &whole, UInt32(ranks.count), &ranks, number, place, &configuration, &made)
      return (status, made)
    }

    func destroy(_ communicator: HcclComm?) throws -> HcclResult {
      try function("HcclCommDestroy", HcclCommDestroyFunction.self)(communicator)
    }

    /// The words of the last failure.
    func message() throws -> String {
      try function("aclGetRecentErrMsg", aclGetRecentErrMsgFunction.self)().map { String(cString: $0) } ?? ""
    }
  }

  private static func configuration(magic: UInt32? = nil, version: UInt32? = nil) -> HcclCommConfig {
    var made = cascend_hccl_configuration(1)
    withUnsafeMutableBytes(of: &made.reserved) { bytes in
      if let magic { bytes.storeBytes(of: magic, toByteOffset: 8, as: UInt32.self) }
      if let version { bytes.storeBytes(of: version, toByteOffset: 12, as: UInt32.self) }
    }
    return made
  }

  private static func join(
    _ rank: Rank, of count: Int, _ information: [UInt8], _ configuration: HcclCommConfig = configuration()
  ) throws -> (status: HcclResult, made: HcclComm?) {
    var (configuration, made) = (configuration, HcclComm?.none)
    let join = try rank.function("HcclCommInitRootInfoConfig", HcclCommInitRootInfoConfigFunction.self)
    let status = information.withUnsafeBytes {
      join(
        UInt32(count), $0.baseAddress?.assumingMemoryBound(to: HcclRootInfo.self), UInt32(rank.number), &configuration,
        &made)
    }
    return (status, made)
  }

  private static func rootInformation(_ rank: Rank) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 4108)
    let make = try rank.function("HcclGetRootInfo", HcclGetRootInfoFunction.self)
    #expect(
      bytes.withUnsafeMutableBytes { make($0.baseAddress?.assumingMemoryBound(to: HcclRootInfo.self)) } == HCCL_SUCCESS)
    return bytes
  }

  /// Runs ranks on an emulator; the barrier lets one wait for the others.
  private func run<Result: Sendable>(
    _ emulator: EmulatedCANN, _ count: Int = 2, device: @escaping @Sendable (Int) -> Int32 = { Int32($0) },
    joins: Bool = true, _ body: @escaping @Sendable (Rank, LoopbackGroup, [UInt8]) throws -> Result
  ) throws -> [Result] {
    try LoopbackGroup.run(count) { hosts in
      var rank = Rank(bench: try EmulatorBench(emulator, device: device(hosts.rank)), number: hosts.rank)
      let information = try hosts.broadcast(hosts.rank == 0 ? Self.rootInformation(rank) : [], from: 0)
      if joins {
        let (status, made) = try Self.join(rank, of: count, information)
        #expect(status == HCCL_SUCCESS)
        rank.communicator = made
      }
      return try body(rank, hosts, information)
    }
  }

  private func expectViolation(_ emulator: EmulatedCANN, _ text: String) throws {
    let violations = try emulator.violations()
    #expect(violations.contains { $0.contains(text) }, "\(violations)")
  }

  @Test func `correct operations break no rule, and run late`() throws {
    let emulator = try EmulatedCANN(devices: 2)
    _ = try run(emulator) { rank, hosts, _ in
      let (a, b) = (try rank.bench.allocate(64), try rank.bench.allocate(64))
      #expect(try rank.gather(a, b) == HCCL_SUCCESS)
      #expect(try rank.broadcast(b, root: 1) == HCCL_SUCCESS)
      #expect(try rank.reduce(b, a, HCCL_REDUCE_MAX) == HCCL_SUCCESS)
      #expect(
        try rank.allToAll(a, b, sending: [1, 2], receiving: rank.number == 0 ? [1, 1] : [2, 2]) == HCCL_SUCCESS)
      let peer = UInt32(1 - rank.number)
      #expect(try rank.exchange([rank.item(HCCL_RECV, b, peer), rank.item(HCCL_SEND, a, peer)]) == HCCL_SUCCESS)
      #expect(try rank.bench.synchronize() == 0)
      try hosts.barrier()
      #expect(try rank.destroy(rank.communicator) == HCCL_SUCCESS)
    }
    #expect(try emulator.violations() == [])
  }

  @Test func `sums and maxima are of all ranks`() throws {
    let emulator = try EmulatedCANN(devices: 3)
    let results = try run(emulator, 3) { rank, _, _ in
      let (a, b) = (try rank.bench.allocate(16), try rank.bench.allocate(16))
      var pinned: UnsafeMutableRawPointer?
      _ = try rank.function("aclrtMallocHost", aclrtMallocHostFunction.self)(&pinned, 16)
      let host = try #require(pinned)
      let copy = try rank.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)
      for index in 0..<4 { host.storeBytes(of: Float(rank.number + index), toByteOffset: 4 * index, as: Float.self) }
      #expect(copy(a, 16, host, 16, ACL_MEMCPY_HOST_TO_DEVICE, rank.bench.stream) == 0)
      #expect(try rank.bench.synchronize() == 0)
      var values: [[Float]] = []
      for operation in [HCCL_REDUCE_SUM, HCCL_REDUCE_PROD, HCCL_REDUCE_MAX, HCCL_REDUCE_MIN] {
        #expect(try rank.reduce(a, b, operation) == HCCL_SUCCESS)
        #expect(copy(host, 16, b, 16, ACL_MEMCPY_DEVICE_TO_HOST, rank.bench.stream) == 0)
        #expect(try rank.bench.synchronize() == 0)
        values.append((0..<4).map { host.load(fromByteOffset: 4 * $0, as: Float.self) })
      }
      return values
    }
    for values in results { #expect(values == [[3, 6, 9, 12], [0, 6, 24, 60], [2, 3, 4, 5], [0, 1, 2, 3]]) }
  }

  private struct Mismatch: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// What either rank does.
    let body: @Sendable (Rank, UnsafeMutableRawPointer, UnsafeMutableRawPointer) throws -> HcclResult
  }

  private static let mismatches = [
    Mismatch(testDescription: "another operation") {
      try $0.number == 0 ? $0.gather($1, $2) : $0.broadcast($1, root: 0)
    },
    Mismatch(testDescription: "another type of elements") {
      try $0.gather($1, $2, type: $0.number == 0 ? HCCL_DATA_TYPE_FP32 : HCCL_DATA_TYPE_INT32)
    },
    Mismatch(testDescription: "elements, not") { try $0.gather($1, $2, $0.number == 0 ? 4 : 3) },
    Mismatch(testDescription: "another root") { rank, memory, _ in
      try rank.broadcast(memory, root: UInt32(rank.number))
    },
    Mismatch(testDescription: "another reduction") {
      try $0.reduce($1, $2, $0.number == 0 ? HCCL_REDUCE_SUM : HCCL_REDUCE_MAX)
    },
    Mismatch(testDescription: "bytes for a buffer of") {
      try $0.allToAll($1, $2, sending: [1, 1], receiving: [1, 2])
    },
    Mismatch(testDescription: "sends too: each waits until the other receives") { rank, memory, _ in
      try rank.send(memory, to: 1 - rank.number)
    },
    Mismatch(testDescription: "HcclRecv: a deadlock: rank ") { rank, memory, _ in
      try rank.receive(memory, from: 1 - rank.number)
    },
    Mismatch(testDescription: "HcclBatchSendRecv: a deadlock: rank ") { rank, memory, _ in
      try rank.exchange([rank.item(HCCL_RECV, memory, UInt32(1 - rank.number))])
    },
    Mismatch(testDescription: "does another operation") { rank, memory, _ in
      try rank.number == 0 ? rank.send(memory, to: 1) : rank.exchange([rank.item(HCCL_RECV, memory, 0)])
    },
    Mismatch(testDescription: "3 elements, not 4") { rank, memory, _ in
      try rank.number == 0 ? rank.send(memory, to: 1, 3) : rank.receive(memory, from: 0)
    },
    Mismatch(testDescription: "another operation at this place") {
      try $0.number == 0 ? $0.gather($1, $2) : $0.exchange([$0.item(HCCL_RECV, $2, 0)])
    },
  ]

  @Test func `a message has come when its sender goes on, in either order of the ranks`() throws {
    let emulator = try EmulatedCANN(devices: 2)
    _ = try run(emulator) { rank, hosts, _ in
      let (a, b) = (try rank.bench.allocate(64), try rank.bench.allocate(64))
      for sender in [0, 1, 0] {
        let status =
          try rank.number == sender ? rank.send(a, to: 1 - sender) : rank.receive(b, from: sender)
        #expect(status == HCCL_SUCCESS)
      }
      #expect(try rank.gather(a, b) == HCCL_SUCCESS)
      #expect(try rank.bench.synchronize() == 0)
      try hosts.barrier()
      #expect(try rank.destroy(rank.communicator) == HCCL_SUCCESS)
    }
    #expect(try emulator.violations() == [])
  }

  @Test(arguments: [true, false])
  func `ranks that wait for each other in a circle are told so at once`(_ sendFirst: Bool) throws {
    let emulator = try EmulatedCANN(devices: 3)
    let start = ContinuousClock.now
    let texts = try run(emulator, 3) { rank, _, _ -> String in
      let memory = try rank.bench.allocate(64)
      let (next, previous) = ((rank.number + 1) % 3, (rank.number + 2) % 3)
      #expect(
        try (sendFirst ? rank.send(memory, to: next) : rank.receive(memory, from: previous)) == HCCL_SUCCESS)
      #expect(try rank.bench.synchronize() != 0)
      return try rank.message()
    }
    let name = sendFirst ? "HcclSend" : "HcclRecv"
    try expectViolation(emulator, "a deadlock: rank ")
    try expectViolation(emulator, ", rank ")
    #expect(texts.allSatisfy { $0.contains(name) && $0.contains("a deadlock") }, "\(texts)")
    #expect(start.duration(to: .now) < .seconds(30))
  }

  @Test func `a rank that is late is waited for`() throws {
    let emulator = try EmulatedCANN(devices: 3)
    _ = try run(emulator, 3) { rank, hosts, _ in
      let (a, b) = (try rank.bench.allocate(64), try rank.bench.allocate(64))
      // The others wait for each other's parts in turns, and for this one's.
      if rank.number == 1 { Thread.sleep(forTimeInterval: 0.2) }
      for _ in 0..<20 { #expect(try rank.gather(a, b) == HCCL_SUCCESS) }
      let (next, previous) = (UInt32((rank.number + 1) % 3), UInt32((rank.number + 2) % 3))
      for _ in 0..<20 {
        #expect(
          try rank.exchange([rank.item(HCCL_SEND, a, next), rank.item(HCCL_RECV, b, previous)]) == HCCL_SUCCESS)
      }
      #expect(try rank.bench.synchronize() == 0)
      try hosts.barrier()
    }
    #expect(try emulator.violations() == [])
  }

  @Test(arguments: mismatches)
  private func `ranks that do different things are told so on all ranks`(_ mismatch: Mismatch) throws {
    let emulator = try EmulatedCANN(devices: 2)
    let errors = try run(emulator) { rank, _, _ in
      let (a, b) = (try rank.bench.allocate(64), try rank.bench.allocate(64))
      var status = try mismatch.body(rank, a, b)
      if status == HCCL_SUCCESS { status = HcclResult(UInt32(bitPattern: try rank.bench.synchronize())) }
      var failure = HCCL_SUCCESS
      _ = try rank.function("HcclGetCommAsyncError", HcclGetCommAsyncErrorFunction.self)(rank.communicator, &failure)
      return status != HCCL_SUCCESS && failure != HCCL_SUCCESS
    }
    #expect(errors == [true, true])
    try expectViolation(emulator, mismatch.testDescription)
  }

  private struct Refusal: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let body: @Sendable (Rank) throws -> HcclResult
  }

  /// What a single rank is refused at once.
  private static let refusals = [
    Refusal(testDescription: "what is sent and received is the same memory") {
      let memory = try $0.bench.allocate(64)
      return try $0.allToAll(memory, memory, sending: [1, 1], receiving: [1, 1])
    },
    Refusal(testDescription: "what is received overlaps") {
      let memory = try $0.bench.allocate(64)
      return try $0.allToAll(memory, memory + 16, sending: [1, 1], receiving: [1, 1])
    },
    Refusal(testDescription: "not in device memory") {
      let host = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
      defer { host.deallocate() }
      return try $0.gather(host, $0.bench.allocate(64))
    },
    Refusal(testDescription: "beyond the end of its memory") {
      try $0.gather($0.bench.allocate(64), $0.bench.allocate(16))
    },
    Refusal(testDescription: "is not aligned") { try $0.gather($0.bench.allocate(64) + 2, $0.bench.allocate(64)) },
    Refusal(testDescription: "second item from or to the same rank") {
      let items = [$0.item(HCCL_SEND, try $0.bench.allocate(64), 1), $0.item(HCCL_SEND, try $0.bench.allocate(64), 1)]
      return try $0.exchange(items)
    },
    Refusal(testDescription: "no other rank") { try $0.exchange([$0.item(HCCL_SEND, $0.bench.allocate(64), 0)]) },
    Refusal(testDescription: "no such root") { try $0.broadcast($0.bench.allocate(64), root: 2) },
    Refusal(testDescription: "not in order") { try $0.part(of: $0.communicator, [1, 0], number: 1, place: 1).status },
    Refusal(testDescription: "place in the part") {
      try $0.part(of: $0.communicator, [0, 1], number: 1, place: 1).status
    },
    Refusal(testDescription: "a part of that number exists") {
      _ = try $0.part(of: $0.communicator, [0, 1], number: 1, place: 0)
      return try $0.part(of: $0.communicator, [0], number: 1, place: 0).status
    },
    Refusal(testDescription: "of a part cannot be divided") {
      let part = try $0.part(of: $0.communicator, [0, 1], number: 1, place: 0).made
      return try $0.part(of: part, [0], number: 2, place: 0).status
    },
    Refusal(testDescription: "parts of the communicator are alive") {
      _ = try $0.part(of: $0.communicator, [0, 1], number: 1, place: 0)
      return try $0.destroy($0.communicator)
    },
    Refusal(testDescription: "no living communicator") {
      #expect(try $0.destroy($0.communicator) == HCCL_SUCCESS)
      return try $0.gather($0.bench.allocate(64), $0.bench.allocate(64))
    },
    Refusal(testDescription: "has not been initialized") { try join($0, of: 2, [1], configuration(magic: 0)).status },
    Refusal(testDescription: "does not belong to its version") {
      try join($0, of: 2, [1], configuration(version: 11)).status
    },
    Refusal(testDescription: "no such rank") { try join($0, of: 0, [1]).status },
    Refusal(testDescription: "writes what HcclAllGather reads on another stream") {
      let (a, b) = (try $0.bench.allocate(64), try $0.bench.allocate(64))
      let other = try $0.bench.anotherStream()
      #expect(try $0.gather(a, b) == HCCL_SUCCESS)
      return try HcclResult(UInt32(bitPattern: $0.bench.copy($0.bench.allocate(4), to: a, on: other)))
    },
    Refusal(testDescription: "in use by HcclAllGather") {
      let (a, b) = (try $0.bench.allocate(64), try $0.bench.allocate(64))
      #expect(try $0.gather(a, b) == HCCL_SUCCESS)
      return try HcclResult(UInt32(bitPattern: $0.bench.free(b)))
    },
  ]

  @Test(arguments: refusals)
  private func `a call that breaks a rule is refused`(_ refusal: Refusal) throws {
    let emulator = try EmulatedCANN(devices: 2)
    _ = try run(emulator) { rank, hosts, _ in
      if rank.number == 0 { #expect(try refusal.body(rank) != HCCL_SUCCESS) }
      // The other one is there until then, and does nothing.
      try hosts.barrier()
    }
    try expectViolation(emulator, refusal.testDescription)
  }

  @Test func `a communicator with work is not destroyed`() throws {
    let emulator = try EmulatedCANN(devices: 2)
    _ = try run(emulator) { rank, hosts, _ in
      if rank.number == 0 {
        #expect(try rank.gather(rank.bench.allocate(64), rank.bench.allocate(64)) == HCCL_SUCCESS)
        #expect(try rank.destroy(rank.communicator) == HCCL_E_AGAIN)
      }
      try hosts.barrier()
    }
  }

  @Test func `a rank that leaves is no reason for others to wait`() throws {
    let emulator = try EmulatedCANN(devices: 2)
    let results = try run(emulator) { rank, _, _ -> String in
      if rank.number == 1 {
        #expect(try rank.destroy(rank.communicator) == HCCL_SUCCESS)
        return ""
      }
      #expect(try rank.gather(rank.bench.allocate(64), rank.bench.allocate(64)) == HCCL_SUCCESS)
      #expect(try rank.bench.synchronize() != 0)
      return try rank.message()
    }
    #expect(results[0].contains("rank 1 has destroyed its communicator"))
  }

  @Test func `two ranks on one device are refused`() throws {
    let emulator = try EmulatedCANN(devices: 2)
    let results = try run(emulator, device: { _ in 0 }, joins: false) { rank, _, information in
      try Self.join(rank, of: 2, information).status
    }
    #expect(results == [HCCL_E_TCP_CONNECT, HCCL_E_TCP_CONNECT])
  }

  @Test func `buffers of communicators are device memory, which there may not be`() throws {
    let emulator = try EmulatedCANN(devices: 2, byteCount: 1 << 20)
    let results = try run(emulator, joins: false) { rank, _, information in
      try Self.join(rank, of: 2, information).status
    }
    #expect(results == [HCCL_E_MEMORY, HCCL_E_MEMORY])
    #expect(try emulator.violations() == [])
  }

  @Test func `communicators that are alive at the end are reported`() throws {
    let emulator = try EmulatedCANN(devices: 2)
    _ = try run(emulator) { _, _, _ in }
    #expect(try emulator.leaks().filter { $0 == "communicator" }.count == 2)
  }
}
