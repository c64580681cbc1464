import BackendConformance
import CPUBackend
import Collectives
import Foundation
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// The sizes and numbers of ranks that the reference lists, and one that it refuses: the real tokens of 129 frames through a
/// tiny network on ranks that are threads.
///
/// Attention is one whose work grows with the number of tokens: 118800 squared takes minutes. What is exchanged and joined is
/// the same, and the real attention is compared in `SequenceParallelTests`. `HYVIDEO_TEST_REAL_ATTENTION=all`, or a size such as
/// `720x1280`, runs the rows with the real one and prints what each gave and took; docs/parallelism.md has the result.
@Suite(.serialized) struct ReferenceTableTests {
  /// The sizes that run with the real attention; no others do then.
  private static let realAttention = ProcessInfo.processInfo.environment["HYVIDEO_TEST_REAL_ATTENTION"]

  /// A size with its rows, one for each number of ranks, and their layouts.
  struct Size: Sendable, CustomStringConvertible {
    let height: Int
    let width: Int
    let rows: [[RankLayout]]

    var description: String { "\(height)x\(width)" }
  }

  static let sizes: [Size] = {
    let every = { (ranks: Int) in
      (1...ranks).filter { ranks % $0 == 0 }.reversed().map { RankLayout(ulysses: $0, ring: ranks / $0) }
    }
    let ringOf5 = [RankLayout(ulysses: 1, ring: 5)]
    let table: [(Int, Int, [[RankLayout]])] = [
      (720, 1280, [every(8), ringOf5, every(4), every(3), every(2)]), (832, 1104, [every(4), every(3), every(2)]),
      (960, 960, [every(6), every(4), every(3), every(2)]), (544, 960, [every(6), every(4), every(3), every(2)]),
      (624, 832, [every(4), every(3), every(2)]), (720, 720, [ringOf5, every(3)]),
    ]
    return table.flatMap { height, width, rows in
      let turned = height == width ? [(height, width)] : [(height, width), (width, height)]
      return turned.map { Size(height: $0.0, width: $0.1, rows: rows) }
    }
  }()

  @Test func `the table has 36 rows`() { #expect(Self.sizes.flatMap(\.rows).count == 36) }

  @Test(arguments: sizes)
  func `every row of the reference's table gives the velocity of one rank`(_ size: Size) throws {
    // A row's layouts take turns, so that every one meets several sizes.
    let turn = (size.height + 2 * size.width) / 16
    try expectOneRanksVelocity(
      height: size.height, width: size.width, size.rows.map { $0[turn % $0.count] })
  }

  @Test func `730 x 1300, which the reference refuses, runs on 8 ranks`() throws {
    try expectOneRanksVelocity(height: 736, width: 1312, [RankLayout(ulysses: 4, ring: 2)])
  }

  private func expectOneRanksVelocity(height: Int, width: Int, _ layouts: [RankLayout]) throws {
    if let real = Self.realAttention, !["all", "\(height)x\(width)"].contains(real) { return }
    let sample = try RealSizeSample(height: height, width: width, usesRealAttention: Self.realAttention != nil)
    let clock = ContinuousClock()
    var start = clock.now
    let expected = try sample.velocity(SequenceGroup())
    if Self.realAttention != nil { print("\(height)x\(width) on 1 rank: \(start.duration(to: clock.now))") }
    for layout in layouts {
      start = clock.now
      let results = try LoopbackGroup.run(layout.ranks) { group in
        try sample.velocity(SequenceGroup(group, layout: layout))
      }
      #expect(results[0].shape == sample.latents.shape)
      let difference = try sample.difference(results[0], expected)
      if Self.realAttention != nil {
        let name = "\(height)x\(width) on \(layout.ulysses) x \(layout.ring)"
        print("\(name): differs by \(difference), \(start.duration(to: clock.now))")
      }
      #expect(difference < 1e-5, "\(height)x\(width) on \(layout): \(difference)")
      #expect(results.allSatisfy { $0.hasBytes(of: results[0]) }, "ranks of \(layout) differ")
    }
  }
}

/// One step of a network of one double-stream and one single-stream block on latents of a real size.
private struct RealSizeSample: Sendable {
  let latents: Tensor
  private let network: HunyuanVideoTransformer
  private let rotary: RotaryTable
  private let textStates: Tensor
  private let pooledText: Tensor
  private let backend: any Backend
  /// Of one rank, which may have all cores.
  private let alone: any Backend

  init(height: Int, width: Int, usesRealAttention: Bool) throws {
    backend = usesRealAttention ? CPUBackend(threads: 1) : AttentionBackend.linear()
    alone = usesRealAttention ? CPUBackend() : backend
    network = try TinyTransformer.smallest.network
    let c = network.configuration
    latents = Tensor(uninitialized: [1, c.inputChannels, 33, height / 8, width / 8])
    let values = latents.mutableHostPointer.assumingMemoryBound(to: Float.self)
    // Cheap numbers from -1 to 1 that do not repeat with rows or columns.
    for index in 0..<latents.count { values[index] = Float((index &* 7919) % 10007) / 5003.5 - 1 }
    rotary = network.rotaryTable(for: latents.shape)
    var random = RandomTensors(seed: 7)
    textStates = random.tensor([1, 77, c.textChannels])
    pooledText = random.tensor([1, c.pooledTextChannels])
  }

  func velocity(_ ranks: SequenceGroup) throws -> Tensor {
    let context = ranks.context(ForwardContext(backend: ranks.layout.ranks == 1 ? alone : backend))
    let conditioning = try network.conditioning(
      timesteps: [500], guidance: 6016, textStates: textStates, pooledText: pooledText, in: context)
    return try backend.download(
      network(latents, step: 0, conditioning: conditioning, rotary: rotary, cache: NoStepCache(), in: context))
  }

  /// `‖a - b‖ / ‖b‖`
  func difference(_ a: Tensor, _ b: Tensor) throws -> Double {
    let distance = try backend.download(backend.combination(1, a, -1, b))
    func square(_ x: Tensor) -> Double {
      let (values, count) = (x.hostFloats, x.count)
      var sum = 0.0
      for index in 0..<count { sum += Double(values[index] * values[index]) }
      return sum
    }
    return (square(distance) / square(b)).squareRoot()
  }
}

extension Tensor {
  fileprivate func hasBytes(of other: Tensor) -> Bool {
    byteCount == other.byteCount && memcmp(hostPointer, other.hostPointer, byteCount) == 0
  }
}
