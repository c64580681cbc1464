import AscendBackend
import BackendConformance
import Collectives
import Dispatch
import Foundation
import Generation
import Layers
import Synchronization
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Ranks that are threads, each with an emulated device of its own, over HCCL.
@Suite struct HCCLGroupTests {
  /// A rank's groups and backend.
  private struct Member {
    let group: any ProcessGroup
    let backend: AscendBackend

    /// A dense tensor on the device whose elements tell who made it for whom.
    func numbers(_ shape: Shape, _ first: Float) throws -> Tensor {
      try backend.upload(Tensor((0..<shape.count).map { first + Float($0) }, shape: shape))
    }

    func incoming(_ shape: Shape, from source: Int) -> IncomingMessage {
      IncomingMessage(shape, backend.activationType, from: source, place: .device)
    }

    func values(_ tensors: [Tensor]) throws -> [[Float]] { try tensors.map { try backend.download($0).floats() } }
  }

  /// Runs ranks, and sees that nothing is left behind and no rule was broken.
  private func run<Result: Sendable>(
    _ count: Int, memory: AscendDevice.Memory = .direct, on emulator: EmulatedCANN? = nil,
    _ body: @escaping @Sendable (Member) throws -> Result
  ) throws -> [Result] {
    let emulator = try emulator ?? EmulatedCANN(devices: count)
    let results = try LoopbackGroup.run(count) { hosts in
      let device = try AscendDevice(index: hosts.rank, libraries: emulator.libraries(), memory: memory)
      let group = try HCCLProcessGroup(hosts, device: device)
      return try body(Member(group: group, backend: AscendBackend(device: device)))
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
    return results
  }

  @Test(arguments: [2, 3, 4])
  func `every rank gets what the others sent it, several tensors each`(_ count: Int) throws {
    let emulator = try EmulatedCANN(devices: count)
    let results = try run(count, on: emulator) { member in
      let (rank, others) = (member.group.rank, (0..<count).filter { $0 != member.group.rank })
      // Rank r sends 10 (r + 1) + its target's number, and as many elements as both numbers say; the highest sends nothing.
      func shape(_ from: Int, _ to: Int) -> Shape { [from == count - 1 ? 0 : from + 1, to + 2] }
      let before = member.group.statistics.bytesSent
      let transfer = try member.group.transfer(
        sending: others.flatMap { to in
          try [
            OutgoingMessage(member.numbers(shape(rank, to), Float(10 * (rank + 1) + to)), to: to),
            OutgoingMessage(member.numbers([3], Float(rank)), to: to),
          ]
        }, receiving: others.flatMap { [member.incoming(shape($0, rank), from: $0), member.incoming([3], from: $0)] },
        pattern: .allToAll)
      let tensors = try transfer.wait()
      for (index, from) in others.enumerated() {
        let expected = (0..<shape(from, rank).count).map { Float(10 * (from + 1) + rank) + Float($0) }
        #expect(try member.values([tensors[2 * index]]) == [expected])
        #expect(try member.values([tensors[2 * index + 1]]) == [(0..<3).map { Float(from + $0) }])
      }
      let sent = others.reduce(0) { $0 + 2 * (shape(rank, $1).count + 3) }
      let statistics = member.group.statistics
      #expect(statistics.bytesSent - before == sent)
      #expect(statistics.seconds > 0 && statistics.exposedSeconds > 0, "\(statistics)")
      return sent
    }
    #expect(try emulator.runs("HcclAlltoAllV") == count)
    #expect(try emulator.bytesSent() == results.reduce(0, +))
  }

  @Test(arguments: [true, false])
  func `gathering is one operation where ranks have equally much, and works where not`(_ isEven: Bool) throws {
    let emulator = try EmulatedCANN(devices: 3)
    _ = try run(3, on: emulator) { member in
      func shape(_ rank: Int) -> Shape { [isEven ? 4 : rank + 2, 5] }
      let mine = try member.numbers(shape(member.group.rank), Float(100 * member.group.rank))
      let tensors = try member.group.startAllGather(
        mine, receiving: (0..<3).map { member.incoming(shape($0), from: $0) }
      ).wait()
      for rank in 0..<3 {
        #expect(
          try member.values([tensors[rank]]) == [
            Tensor((0..<shape(rank).count).map { Float(100 * rank + $0) }, shape: shape(rank)).floats()
          ])
      }
    }
    #expect(try emulator.runs(isEven ? "HcclAllGather" : "HcclAlltoAllV") == 3)
  }

  @Test func `messages round a ring are one exchange for each turn, and what is passed on is not copied`() throws {
    let emulator = try EmulatedCANN(devices: 3)
    _ = try run(3, memory: .pooled, on: emulator) { member in
      let (next, previous) = ((member.group.rank + 1) % 3, (member.group.rank + 2) % 3)
      var chunk = try [member.numbers([7], Float(member.group.rank)), member.numbers([2, 4], 50)]
      for turn in 1...4 {
        chunk = try member.group.transfer(
          sending: chunk.map { OutgoingMessage($0, to: next) },
          receiving: [member.incoming([7], from: previous), member.incoming([2, 4], from: previous)]
        ).wait()
        let owner = (member.group.rank - turn % 3 + 3) % 3
        #expect(try member.values(chunk)[0] == (0..<7).map { Float(owner + $0) })
        #expect(try member.values(chunk)[1] == (0..<8).map { Float(50 + $0) })
      }
    }
    #expect(try emulator.runs("HcclBatchSendRecv") == 12)
  }

  @Test func `groups that are split off have communicators of their own, also within each other`() throws {
    let emulator = try EmulatedCANN(devices: 4)
    _ = try run(4, on: emulator) { member in
      let half = try member.group.subgroup(color: member.group.rank / 2, key: member.group.rank)
      let alone = try half.subgroup(color: member.group.rank, key: 0)
      let backwards = try member.group.subgroup(color: 0, key: -member.group.rank)
      #expect(alone.size == 1 && backwards.rank == 3 - member.group.rank)
      for (group, partners) in [(half, [1, 0]), (backwards, [1, 0, 3, 2])] {
        let partner = partners[group.rank]
        let received = try group.transfer(
          sending: [OutgoingMessage(member.numbers([2], Float(member.group.rank)), to: partner)],
          receiving: [member.incoming([2], from: partner)]
        ).wait()
        // Neighbours in both groups.
        let expected = Float(member.group.rank ^ 1)
        #expect(try member.values(received) == [[expected, expected + 1]])
      }
    }
  }

  @Test func `messages of hosts and devices go together, and to itself a rank hands over`() throws {
    _ = try run(2) { member in
      let (rank, other) = (member.group.rank, 1 - member.group.rank)
      let own = try member.numbers([3], 8)
      let received = try member.group.transfer(
        sending: [
          OutgoingMessage(Tensor([Int32(rank)], shape: [1]), to: other), OutgoingMessage(own, to: rank),
          OutgoingMessage(member.numbers([2], Float(rank)), to: other),
        ],
        receiving: [
          member.incoming([2], from: other), IncomingMessage([1], .int32, from: other),
          member.incoming([3], from: rank),
        ]
      ).wait()
      #expect(try member.values([received[0]]) == [[Float(other), Float(other + 1)]])
      #expect(received[1].integers() == [other])
      #expect(received[2].storage === own.storage)
      #expect(try member.group.sum([1, Double(rank)]) == [2, 1])
    }
  }

  @Test(arguments: [0, 2])
  func `a tensor of one device is given to all`(_ root: Int) throws {
    let emulator = try EmulatedCANN(devices: 3)
    _ = try run(3, on: emulator) { member in
      let mine = try member.group.rank == root ? member.numbers([5], 7) : nil
      let tensor = try member.group.broadcast(
        mine, shape: [5], member.backend.activationType, from: root, place: .device)
      #expect(try member.values([tensor]) == [[7, 8, 9, 10, 11]])
    }
    #expect(try emulator.bytesSent() == 2 * 5 * 2)
  }

  @Test func `messages of devices that are wanted on hosts are refused, not waited for`() throws {
    let texts = try run(2) { member -> String in
      let parts = try (0..<2).map { try member.numbers([2], Float($0)) }
      do {
        _ = try member.group.allToAll(parts, receiving: [[2], [2]])
        return ""
      } catch { return "\(error)" }
    }
    #expect(texts.allSatisfy { $0.contains("say where messages are wanted") }, "\(texts)")
  }

  @Test func `memory of messages that nobody waits for outlives them`() throws {
    _ = try run(2, memory: .pooled) { member in
      let other = 1 - member.group.rank
      for _ in 0..<5 {
        _ = try member.group.transfer(
          sending: [OutgoingMessage(member.numbers([1000], 1), to: other)],
          receiving: [member.incoming([1000], from: other)])
        _ = try member.numbers([1000], 2)
      }
      #expect(try member.backend.isFinite(member.numbers([4], 3)))
    }
  }

  static let layouts = [(2, 1), (1, 2), (4, 1), (1, 4), (2, 2), (3, 1)].map { RankLayout(ulysses: $0.0, ring: $0.1) }

  /// Joint attention of a few tokens, on one processor and, divided among ranks, on their devices.
  private struct JointSample: Sendable {
    static let (videoTokens, textTokens, heads, headSize) = (60, 12, 4, 16)
    let video = inputs(videoTokens, 1)
    let text = inputs(textTokens, 2)

    private static func inputs(_ count: Int, _ seed: UInt64) -> AttentionInputs {
      var random = RandomTensors(seed: seed)
      let shape: Shape = [1, count, heads, headSize]
      return AttentionInputs(query: random.tensor(shape), key: random.tensor(shape), value: random.tensor(shape))
    }

    /// A rank's part of the result.
    func attend(_ member: Member, _ layout: RankLayout) throws -> (video: Tensor, text: Tensor) {
      let ranks = try SequenceGroup(member.group, layout: layout)
      func share(_ inputs: AttentionInputs, _ count: Int) throws -> AttentionInputs {
        let range = ShardPlan(count: count, parts: layout.ranks).range(member.group.rank)
        func part(_ tensor: Tensor) throws -> Tensor { try member.backend.upload(tensor.slice(1, range)) }
        return AttentionInputs(query: try part(inputs.query), key: try part(inputs.key), value: try part(inputs.value))
      }
      let attention = ShardedJointAttention(ranks).sized(videoTokens: Self.videoTokens, textTokens: Self.textTokens)
      let output = try attention.attend(
        video: share(video, Self.videoTokens), text: share(text, Self.textTokens), on: member.backend)
      return (try member.backend.download(output.video), try member.backend.download(output.text))
    }

    func expectWhole(_ parts: [(video: Tensor, text: Tensor)], _ layout: RankLayout) throws {
      let host = ReferenceBackend()
      let expected = try LocalJointAttention().attend(video: video, text: text, on: host)
      let video = try host.concatenate(parts.map(\.video), axis: 1)
      let text = try host.concatenate(parts.map(\.text), axis: 1)
      expectClose(video, expected.video, relative: 1e-2, "video on \(layout)")
      expectClose(text, expected.text, relative: 1e-2, "text on \(layout)")
    }
  }

  @Test(arguments: layouts, [AscendDevice.Memory.direct, .pooled])
  func `attention of all devices is that of one, and nobody sends more than the formula says`(
    _ layout: RankLayout, _ memory: AscendDevice.Memory
  ) throws {
    let sample = JointSample()
    let emulator = try EmulatedCANN(devices: layout.ranks)
    let results = try run(layout.ranks, memory: memory, on: emulator) { try sample.attend($0, layout) }
    try sample.expectWhole(results, layout)
    let values = layout.sentValues(
      videoTokens: JointSample.videoTokens, textTokens: JointSample.textTokens,
      channels: JointSample.heads * JointSample.headSize)
    #expect(try Double(emulator.bytesSent()) == 2 * values * Double(layout.ranks))
  }

  @Test func `devices attend to the tokens they have while the ring's first transfer is under way`() throws {
    let (sample, layout) = (JointSample(), RankLayout(ulysses: 1, ring: 2))
    let emulator = try EmulatedCANN(devices: 2)
    let attention = "aclnnFusedInferAttentionScoreV2"
    // Lets the transfers go on when both devices have computed, or when it is clear that they will not.
    let observer = DispatchQueue(label: "observer")
    let seen = Mutex((attentions: 0, transfers: 0, bytes: -1))
    try emulator.holdCollectives(true)
    observer.async {
      for _ in 0..<1000 {
        if (try? emulator.runs(attention)) ?? 0 >= 2 { break }
        Thread.sleep(forTimeInterval: 0.01)
      }
      seen.withLock {
        $0.attentions = (try? emulator.runs(attention)) ?? 0
        $0.transfers = (try? emulator.runs("HcclBatchSendRecv")) ?? 0
        $0.bytes = (try? emulator.bytesSent()) ?? -1
      }
      try? emulator.holdCollectives(false)
    }
    let results = try run(2, memory: .pooled, on: emulator) { try sample.attend($0, layout) }
    observer.sync {}
    let (attentions, transfers, bytes) = seen.withLock { $0 }
    #expect(attentions >= 2, "no device computes while it waits for the other")
    #expect(transfers == 2 && bytes == 0, "\(transfers) transfers have begun, \(bytes) bytes were sent")
    #expect(try emulator.runs(attention) > attentions)
    try sample.expectWhole(results, layout)
  }

  @Test(arguments: 1...6)
  func `a device that vanishes is an error on all ranks within seconds`(_ operation: Int) throws {
    let emulator = try EmulatedCANN(devices: 2)
    try emulator.function("ascend_emulator_fail_collective", (@convention(c) (Int) -> Void).self)(operation)
    let texts = try LoopbackGroup.run(2) { hosts -> String in
      let device = try AscendDevice(index: hosts.rank, libraries: emulator.libraries())
      let member = Member(group: try HCCLProcessGroup(hosts, device: device), backend: AscendBackend(device: device))
      do {
        for _ in 0..<6 {
          let received = try member.group.transfer(
            sending: [OutgoingMessage(member.numbers([8], 1), to: 1 - hosts.rank)],
            receiving: [member.incoming([8], from: 1 - hosts.rank)], pattern: .allToAll
          ).wait()
          _ = try member.backend.download(received[0])
        }
        return ""
      } catch { return "\(error)" }
    }
    #expect(texts.contains { $0.contains("vanished, on demand") }, "\(texts)")
    #expect(texts.contains { $0.contains("is lost") || $0.contains("failed") }, "\(texts)")
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test func `a CANN without HCCL is named`() throws {
    let emulator = try EmulatedCANN()
    let device = try AscendDevice(index: 0, libraries: emulator.libraries(hiding: ["HcclAlltoAllV"]))
    #expect {
      _ = try HCCLProcessGroup(SingleProcessGroup(), device: device)
    } throws: {
      "\($0)".contains("HcclAlltoAllV")
    }
  }
}
