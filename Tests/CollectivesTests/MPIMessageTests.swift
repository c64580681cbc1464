import Collectives
import Foundation
import TensorCore
import TensorTesting
import Testing

/// Messages between processes that are longer than one MPI message may be.
@Suite struct MPIMessageTests {
  private static let pieceVariable = "HYVIDEO_TEST_PIECE_BYTES"
  private static let lengthsVariable = "HYVIDEO_TEST_MESSAGE_BYTES"
  private static let largeVariable = "HYVIDEO_TEST_LARGE_MESSAGES"

  private static func number(_ variable: String) -> [Int] {
    (ProcessInfo.processInfo.environment[variable] ?? "").split(separator: ",").compactMap { Int($0) }
  }

  private static func run(_ ranks: Int, pieceBytes: Int, lengths: [Int]) throws -> RankProcesses.Outcome {
    try RankProcesses.run(
      ranks, test: "MPIMessageRanks",
      environment: [
        pieceVariable: "\(pieceBytes)", lengthsVariable: lengths.map { "\($0)" }.joined(separator: ","),
      ])
  }

  @Test(.enabled(if: RankProcesses.canStart), arguments: [1, 7, 64, MPIProcessGroup.largestPiece])
  func `messages arrive whole and in order, whatever the pieces`(_ pieceBytes: Int) throws {
    // None, less than a piece of 7 or 64 bytes, one, one and a rest, many.
    let lengths = [0, 1, 6, 7, 8, 63, 64, 65, 448, 1000]
    let outcome = try Self.run(3, pieceBytes: pieceBytes, lengths: lengths)
    #expect(outcome.status == 0, "\(outcome.output)")
    #expect(outcome.reports.count == 3, "\(outcome.output)")
  }

  @Test(.enabled(if: RankProcesses.canStart && ProcessInfo.processInfo.environment[largeVariable] != nil))
  func `a message of more bytes than 32 bits count arrives`() throws {
    // Beyond 2^31 and 2^32, and no multiple of a piece.
    for length in [(1 << 31) + 12345, (1 << 32) + 1] {
      let outcome = try Self.run(2, pieceBytes: MPIProcessGroup.largestPiece, lengths: [length])
      #expect(outcome.status == 0, "\(outcome.output)")
      print("\(length) bytes each way: \(outcome.reports[0] ?? "nothing")")
    }
  }

  /// What the ranks do: each sends messages of all lengths to all others.
  @Suite(.enabled(if: RankProcesses.areRunning)) struct MPIMessageRanks {
    @Test func `every rank has what every rank sent`() throws {
      let group = try MPIProcessGroup.join(pieceBytes: try #require(number(pieceVariable).first))
      let lengths = number(lengthsVariable)
      let others = (0..<group.size).filter { $0 != group.rank }
      let start = ContinuousClock().now
      let received = try group.transfer(
        sending: others.flatMap { other in
          lengths.map { OutgoingMessage(pattern($0, seed: group.rank * 16 + other), to: other) }
        },
        receiving: others.flatMap { other in lengths.map { IncomingMessage([$0], .uint8, from: other) } }
      ).wait()
      let seconds = start.duration(to: ContinuousClock().now) / .seconds(1)
      for (index, tensor) in received.enumerated() {
        let (other, length) = (others[index / lengths.count], lengths[index % lengths.count])
        #expect(isPattern(tensor, length: length, seed: other * 16 + group.rank), "\(length) bytes from \(other)")
      }
      #expect(group.statistics.bytesSent == others.count * lengths.reduce(0, +))
      group.finish()
      try RankProcesses.report(String(format: "%.2f s, patterns included", seconds), rank: group.rank)
    }

    /// Bytes that repeat only after a prime number, so that no two pieces look alike.
    private func pattern(_ length: Int, seed: Int) -> Tensor {
      let tensor = Tensor(uninitialized: [length], .uint8)
      let bytes = tensor.mutableHostPointer.assumingMemoryBound(to: UInt8.self)
      for index in 0..<length { bytes[index] = UInt8(truncatingIfNeeded: (index % 1_000_003) &* 31 &+ seed) }
      return tensor
    }

    private func isPattern(_ tensor: Tensor, length: Int, seed: Int) -> Bool {
      let bytes = tensor.hostPointer.assumingMemoryBound(to: UInt8.self)
      return tensor.count == length
        && (0..<length).allSatisfy { bytes[$0] == UInt8(truncatingIfNeeded: ($0 % 1_000_003) &* 31 &+ seed) }
    }
  }
}
