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

  /// What devices send each other when they count each other: a number for each rank, from each to all others.
  private func rollCallBytes(_ count: Int) -> Int { 4 * count * count * (count - 1) }

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
    #expect(try emulator.bytesSent() == results.reduce(0, +) + rollCallBytes(count))
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

  @Test(arguments: [2, 4], [AscendDevice.Memory.direct, .pooled])
  func `a tensor of one device is given to all, from where it is`(_ count: Int, _ memory: AscendDevice.Memory) throws {
    let emulator = try EmulatedCANN(devices: count)
    let sent = try run(count, memory: memory, on: emulator) { member in
      let before = member.group.statistics.bytesSent
      for root in [0, count - 1] {
        let mine = try member.group.rank == root ? member.numbers([5], 7) : nil
        let tensor = try member.group.broadcast(
          mine, shape: [5], member.backend.activationType, from: root, place: .device)
        #expect(try member.values([tensor]) == [[7, 8, 9, 10, 11]])
        #expect(mine == nil || tensor.storage === mine?.storage)
      }
      let nothing = try member.group.broadcast(
        member.numbers([0, 3], 0), shape: [0, 3], member.backend.activationType, from: 0, place: .device)
      #expect(nothing.count == 0)
      return member.group.statistics.bytesSent - before
    }
    #expect(try emulator.runs("HcclBroadcast") == 2 * count)
    // To each other rank, by each of the two roots.
    #expect(sent.reduce(0, +) == 2 * (count - 1) * 5 * 2)
    #expect(try emulator.bytesSent() == sent.reduce(0, +) + rollCallBytes(count))
  }

  @Test(arguments: [2, 4])
  func `devices add tensors and find the largest elements`(_ count: Int) throws {
    let emulator = try EmulatedCANN(devices: count)
    let sent = try run(count, memory: .pooled, on: emulator) { member in
      let before = member.group.statistics.bytesSent
      let mine = try member.numbers([3, 2], Float(member.group.rank))
      let sum = try member.group.allReduce(mine, .sum)
      let largest = try member.group.allReduce(mine, .maximum)
      let ranks = Float(count * (count - 1) / 2)
      #expect(try member.values([sum])[0] == (0..<6).map { ranks + Float(count * $0) })
      #expect(try member.values([largest])[0] == (0..<6).map { Float(count - 1 + $0) })
      #expect(sum.shape == mine.shape && sum.dtype == mine.dtype && sum.deviceMemoryIsOther(than: mine))
      return member.group.statistics.bytesSent - before
    }
    // Once more for the roll call.
    #expect(try emulator.runs("HcclAllReduce") == 3 * count)
    #expect(try emulator.bytesSent() == sent.reduce(0, +) + rollCallBytes(count))
    #expect(sent == [Int](repeating: 2 * (count - 1) * 6 * 2, count: count))
  }

  @Test func `parts of a group give and add among themselves, and hosts add in the order of ranks`() throws {
    _ = try run(4) { member in
      let rank = member.group.rank
      let backwards = try member.group.subgroup(color: 0, key: -rank)
      let half = try member.group.subgroup(color: rank / 2, key: -rank)
      // The first of a group that is in the reverse order is the last of all.
      let mine = try backwards.rank == 0 ? member.numbers([2], 40) : nil
      let given = try backwards.broadcast(
        mine, shape: [2], member.backend.activationType, from: 0, place: .device)
      #expect(try member.values([given]) == [[40, 41]] && (rank == 3) == (mine != nil))
      let sum = try half.allReduce(member.numbers([1], Float(rank)), .sum)
      #expect(try member.values([sum]) == [[rank < 2 ? 1 : 5]])
      let alone = try member.group.subgroup(color: rank, key: 0)
      #expect(try alone.allReduce(mine ?? given, .sum).storage === (mine ?? given).storage)
      let hosts = try member.group.allReduce(Tensor([[1e8, 1, -1e8, 1][rank]], shape: [1]), .sum)
      #expect(hosts.floats() == [1])
    }
  }

  /// Two ranks that do not mean the same.
  private static let disagreements: [@Sendable (Int, any ProcessGroup, AscendBackend) throws -> Void] = [
    { rank, group, backend in
      let mine = try backend.upload(Tensor([1, 2] as [Float], shape: [2]))
      _ = try group.broadcast(mine, shape: [2], backend.activationType, from: rank, place: .device)
    },
    { rank, group, backend in
      let mine = try backend.upload(Tensor([1, 2, 3] as [Float], shape: [3]).slice(0, 0..<2 + rank))
      _ = try group.allReduce(mine, .sum)
    },
    { rank, group, backend in
      _ = try group.allReduce(backend.upload(Tensor([Float(1)], shape: [1])), rank == 0 ? .sum : .maximum)
    },
    { rank, group, backend in
      let other = AscendBackend(device: backend.device, activationType: rank == 0 ? .float16 : .bfloat16)
      _ = try group.allReduce(other.upload(Tensor([Float(1)], shape: [1])), .sum)
    },
    { rank, group, backend in
      let mine = try backend.upload(Tensor([Float(1)], shape: [1]))
      if rank == 0 {
        _ = try group.allReduce(mine, .sum)
      } else {
        _ = try group.broadcast(mine, shape: [1], backend.activationType, from: 1, place: .device)
      }
    },
  ]

  @Test(
    arguments: zip(
      disagreements.indices,
      ["has another root", "elements", "another reduction", "another type of elements", "does another operation"]))
  func `ranks that do not mean the same are told, and do not wait`(_ index: Int, _ reason: String) throws {
    let emulator = try EmulatedCANN(devices: 2)
    let texts = try LoopbackGroup.run(2) { hosts -> String in
      let device = try AscendDevice(index: hosts.rank, libraries: emulator.libraries())
      let group = try HCCLProcessGroup(hosts, device: device)
      let backend = AscendBackend(device: device)
      do {
        try Self.disagreements[index](hosts.rank, group, backend)
        _ = try backend.download(backend.upload(Tensor([Float(1)], shape: [1])))
        return ""
      } catch { return "\(error)" }
    }
    #expect(texts.allSatisfy { !$0.isEmpty } && texts.contains { $0.contains(reason) }, "\(texts)")
    #expect(try !emulator.violations().isEmpty && emulator.leaksAtTheEnd() == [])
  }

  @Test func `the first rank's prompt goes from device to device in the transformer's type, and plans know it`() throws
  {
    let emulator = try EmulatedCANN(devices: 2)
    let model = try ModelFolder(Goldens.repositoryPath("Models/demo"))
    let request = GenerationRequest(prompt: "A red ball.", seed: 1, defaults: model.defaults)
    let texts = try run(2, memory: .pooled, on: emulator) { member in
      func context(_ type: DType) -> ForwardContext {
        ForwardContext(backend: AscendBackend(device: member.backend.device, activationType: type))
      }
      let contexts = StageContexts(
        textEncoders: context(.float16), transformer: context(.bfloat16), autoencoder: context(.float16))
      let ranks = try SequenceGroup(member.group, layout: RankLayout(ulysses: 2, ring: 1))
      let texts = try VideoPipeline(model, in: contexts, ranks: ranks, observer: Silent()).encode([request])
      let tensors = [texts[0].prompt.textStates, texts[0].prompt.pooledText]
      #expect(tensors.allSatisfy { $0.dtype == .bfloat16 && $0.isOnDevice })
      // As one rank hands them over.
      let alone = try VideoPipeline(model, in: contexts, observer: Silent()).encode([request])
      let expected = [alone[0].prompt.textStates, alone[0].prompt.pooledText]
      #expect(expected.allSatisfy { $0.dtype == .bfloat16 && $0.isOnDevice })
      #expect(try member.values(tensors) == member.values(expected))
      return tensors.map(\.shape.count)
    }
    #expect(try emulator.runs("HcclBroadcast") == 4 && texts[0] == texts[1])
    let sent = 2 * texts[0].reduce(0, +)
    #expect(try emulator.bytesSent() == sent + rollCallBytes(2))
    let libraries = try emulator.libraries()
    let planner = try RunPlanner(model) { streamsWeights in
      let transformer = try AscendPlanningBackend(
        dryRunIn: libraries, byteCount: 8 << 30, streamsWeights: streamsWeights)
      return PlanningBackends(
        textEncoders: transformer.with(activationType: .float16), transformer: transformer,
        autoencoder: transformer.with(activationType: .float16),
        makeGroups: { try transformer.groups($0, parts: $1) })
    }
    var setting = PlanSetting()
    setting.layout = RankLayout(ulysses: 2, ring: 1)
    let plan = try planner.plan([request], setting: setting)
    let encoding = try #require(plan.stages.first { $0.stage == .encodePrompts })
    #expect(encoding.bytesSent == sent && encoding.messages == 2)
    let broadcasts = encoding.work.totals.filter { $0.key.format == "HcclBroadcast" }
    #expect(broadcasts.reduce(0) { $0 + $1.value.calls } == 2)
  }

  private final class Silent: GenerationObserver {}

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
    static let site = AttentionSite(grid: [3, 4, 5], textTokens: textTokens)
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
      let output = try ShardedJointAttention(ranks).attend(
        video: share(video, Self.videoTokens), text: share(text, Self.textTokens), at: Self.site, on: member.backend)
      return (try member.backend.download(output.video), try member.backend.download(output.text))
    }

    func expectWhole(_ parts: [(video: Tensor, text: Tensor)], _ layout: RankLayout) throws {
      let host = ReferenceBackend()
      let expected = try LocalJointAttention().attend(video: video, text: text, at: Self.site, on: host)
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
    #expect(
      try Double(emulator.bytesSent() - rollCallBytes(layout.ranks)) == 2 * values * Double(layout.ranks))
  }

  @Test func `devices attend to the tokens they have while the ring's first transfer is under way`() throws {
    let (sample, layout) = (JointSample(), RankLayout(ulysses: 1, ring: 2))
    let emulator = try EmulatedCANN(devices: 2)
    let attention = "aclnnFusedInferAttentionScoreV2"
    // Lets the transfers go on when both devices have computed, or when it is clear that they will not.
    let observer = DispatchQueue(label: "observer")
    let seen = Mutex((attentions: 0, transfers: 0, bytes: -1))
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
    let results = try run(2, memory: .pooled, on: emulator) { member in
      // The devices have found each other.
      try member.group.barrier()
      try emulator.holdCollectives(true)
      try member.group.barrier()
      return try sample.attend(member, layout)
    }
    observer.sync {}
    let (attentions, transfers, bytes) = seen.withLock { $0 }
    #expect(attentions >= 2, "no device computes while it waits for the other")
    #expect(
      transfers == 2 && bytes == rollCallBytes(2), "\(transfers) transfers have begun, \(bytes) bytes were sent")
    #expect(try emulator.runs(attention) > attentions)
    try sample.expectWhole(results, layout)
  }

  @Test(arguments: 1...7)
  func `a device that vanishes is an error on all ranks within seconds`(_ operation: Int) throws {
    let emulator = try EmulatedCANN(devices: 2)
    try emulator.function("ascend_emulator_fail_collective", (@convention(c) (Int) -> Void).self)(operation)
    let texts = try LoopbackGroup.run(2) { hosts -> String in
      let device = try AscendDevice(index: hosts.rank, libraries: emulator.libraries())
      do {
        // The first is that by which devices count each other.
        let group = try HCCLProcessGroup(hosts, device: device)
        let member = Member(group: group, backend: AscendBackend(device: device))
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

extension Tensor {
  fileprivate var isOnDevice: Bool { storage.hostAddress == nil }

  fileprivate func deviceMemoryIsOther(than tensor: Tensor) -> Bool { isOnDevice && storage !== tensor.storage }
}
