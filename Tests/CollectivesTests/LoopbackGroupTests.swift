import Collectives
import Foundation
import TensorCore
import Testing

@Suite struct LoopbackGroupTests {
  private static func part(from: Int, to: Int) -> Tensor {
    Tensor((0..<from + 2 * to).map { Float(100 * from + 10 * to + $0) }, shape: [from + 2 * to])
  }

  @Test(arguments: [1, 2, 5])
  func `every rank gets what every rank sent it, whatever the sizes`(_ size: Int) throws {
    let received = try LoopbackGroup.run(size) { group in
      try group.allToAll(
        (0..<size).map { Self.part(from: group.rank, to: $0) }, receiving: (0..<size).map { [$0 + 2 * group.rank] }
      ).map { $0.floats() }
    }
    for (rank, parts) in received.enumerated() {
      #expect(parts == (0..<size).map { Self.part(from: $0, to: rank).floats() })
    }
  }

  @Test func `sums, broadcasts and gathered bytes are the same on every rank`() throws {
    let results = try LoopbackGroup.run(3) { group in
      let bytes = [UInt8](repeating: UInt8(group.rank), count: group.rank)
      return (
        try group.sum([Double(group.rank), 0.5]), try group.maximum([Double(group.rank)]),
        try group.broadcast([UInt8(group.rank), 7], from: 2), try group.allGather(bytes)
      )
    }
    for (sum, maximum, bytes, gathered) in results {
      #expect(sum == [3, 1.5] && maximum == [2] && bytes == [2, 7] && gathered == [[], [1], [2, 2]])
    }
  }

  @Test(arguments: [1, 2, 4])
  func `tensors are added in the order of ranks, and the largest elements are found`(_ count: Int) throws {
    // In another order the sum is another.
    let values: [[Float]] = [[1e8, 3], [1, -5], [-1e8, 7], [1, 7]]
    let results = try LoopbackGroup.run(count) { group in
      let mine = Tensor(values[group.rank], shape: [2, 1])
      let numbers = Tensor([Int32(group.rank), .max], shape: [2])
      return (
        try group.allReduce(mine, .sum), try group.allReduce(mine, .maximum), try group.allReduce(numbers, .sum)
      )
    }
    let ranks = values.prefix(count)
    for (sum, largest, integers) in results {
      #expect(
        sum.shape == [2, 1] && sum.floats() == [0, 1].map { i in ranks.dropFirst().reduce(ranks[0][i]) { $0 + $1[i] } })
      #expect(largest.floats() == [1e8, ranks.map { $0[1] }.max() ?? 0])
      // Integers go round at their end.
      let last = (0..<count).reduce(Int32(0)) { sum, _ in sum &+ .max }
      #expect(integers.integers() == [count * (count - 1) / 2, Int(last)])
    }
  }

  @Test func `elements that hosts do not add are named`() throws {
    #expect {
      _ = try LoopbackGroup.run(2) { try $0.allReduce(Tensor(uninitialized: [2], .bfloat16), .sum) }
    } throws: {
      "\($0)".contains("expected float32 or int32 in host memory, found bfloat16")
    }
  }

  @Test func `subgroups have their own ranks and do not hear each other`() throws {
    let results = try LoopbackGroup.run(5) { group in
      let part = try group.subgroup(color: group.rank % 2, key: -group.rank)
      let again = try part.subgroup(color: 0, key: part.rank)
      return (part.rank, part.size, try part.sum([Double(group.rank)])[0], try again.sum([1])[0])
    }
    #expect(results.map(\.0) == [2, 1, 1, 0, 0] && results.map(\.1) == [3, 2, 3, 2, 3])
    #expect(results.map(\.2) == [6, 4, 6, 4, 6] && results.map(\.3) == [3, 2, 3, 2, 3])
  }

  @Test func `a rank that fails ends the others' waits with its reason`() {
    struct Broken: Error {}
    let start = ContinuousClock().now
    let error = #expect(throws: (any Error).self) {
      _ = try LoopbackGroup.run(3) { group in
        if group.rank == 1 { group.abort(reason: "out of paper", status: 1) } else { try group.barrier() }
      }
    }
    #expect("\(error.map { "\($0)" } ?? "")".contains("rank 1 failed: out of paper"))
    #expect(start.duration(to: ContinuousClock().now) < .seconds(5))
  }

  @Test func `bytes are counted without what stays`() throws {
    let results = try LoopbackGroup.run(2) { group in
      _ = try group.allToAll(
        [Tensor(repeating: 0, shape: [5]), Tensor(repeating: 0, shape: [5])], receiving: [[5], [5]])
      return group.statistics
    }
    for statistics in results { #expect(statistics.bytesSent == 20 && statistics.messages == 1) }
  }

  // Delays are long beside what a busy machine adds.

  @Test func `time that passes behind work is not exposed, and time that is waited for is`() throws {
    let results = try LoopbackGroup.run(2, delay: .milliseconds(200)) { group in
      let one = Tensor(repeating: 1, shape: [25])
      try group.barrier()
      let first = group.statistics
      let pending = try group.exchange(sending: [one], to: 1 - group.rank, receiving: [[25]], from: 1 - group.rank)
      Thread.sleep(forTimeInterval: 0.4)
      _ = try pending.wait()
      let second = group.statistics
      _ = try group.exchange(sending: [one], to: 1 - group.rank, receiving: [[25]], from: 1 - group.rank).wait()
      return (second.since(first), group.statistics.since(second))
    }
    for (hidden, open) in results {
      #expect(hidden.seconds > 0.1 && hidden.hiddenShare > 0.9, "\(hidden)")
      #expect(open.seconds > 0.1 && open.hiddenShare < 0.1, "\(open)")
    }
  }

  @Test func `transfers that are under way together count once, in subgroups too`() throws {
    let results = try LoopbackGroup.run(2, delay: .milliseconds(300)) { group in
      let part = try group.subgroup(color: 0, key: group.rank)
      let before = group.statistics
      let pending = try [group, part, group].map { (group: any ProcessGroup) in
        let other = 1 - group.rank
        return try group.exchange(
          sending: [Tensor(repeating: 1, shape: [1])], to: other, receiving: [[1]], from: other)
      }
      for transfer in pending { _ = try transfer.wait() }
      return group.statistics.since(before)
    }
    for statistics in results {
      #expect(statistics.messages == 3)
      #expect((0.15..<0.6).contains(statistics.seconds), "\(statistics)")
      #expect(statistics.exposedSeconds <= statistics.seconds * 1.001, "\(statistics)")
    }
  }

  @Test func `a slow network brings messages one after another`() throws {
    let results = try LoopbackGroup.run(2, bandwidth: 4000) { group in
      let start = ContinuousClock().now
      let parts = [[Tensor]](repeating: [Tensor(repeating: 1, shape: [100])], count: 3)
      for pending in try parts.map({
        try group.exchange(sending: $0, to: 1 - group.rank, receiving: [[100]], from: 1 - group.rank)
      }) {
        _ = try pending.wait()
      }
      return start.duration(to: ContinuousClock().now) / .seconds(1)
    }
    for seconds in results { #expect(seconds > 0.29) }
  }
}

extension ProcessGroup {
  /// Starts sending tensors to one rank while receiving others from one.
  fileprivate func exchange(
    sending tensors: [Tensor], to destination: Int, receiving shapes: [Shape], from source: Int
  ) throws -> any PendingTransfer {
    try transfer(
      sending: tensors.map { OutgoingMessage($0, to: destination) },
      receiving: shapes.map { IncomingMessage($0, from: source) })
  }
}
