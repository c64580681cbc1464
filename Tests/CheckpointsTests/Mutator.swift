import Checkpoints
import Foundation
import TensorCore
import Testing

/// A small seeded generator, so that a failure can be repeated.
struct SplitMix {
  var state: UInt64

  mutating func next(below limit: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var bits = state
    bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((bits ^ (bits >> 31)) % UInt64(max(limit, 1)))
  }
}

/// Makes wrong files out of valid ones, the same in every run with a seed.
struct Mutator {
  /// Valid files of one format.
  let corpus: [[UInt8]]
  /// What is put into files beside bytes: words of the format.
  let words: [[UInt8]]
  var random: SplitMix

  init(_ corpus: [[UInt8]], words: [String] = [], seed: UInt64) {
    (self.corpus, self.words) = (corpus, words.map { Array($0.utf8) })
    random = SplitMix(state: seed)
  }

  /// One of the files with up to four changes.
  mutating func next() -> [UInt8] {
    var bytes = corpus[random.next(below: corpus.count)]
    for _ in 0...random.next(below: 4) where !bytes.isEmpty { change(&bytes) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    let position = place(in: bytes)
    let end = min(position + 1 + random.next(below: 24), bytes.count)
    switch random.next(below: 10) {
    case 0, 1: bytes[position] ^= 1 << UInt8(random.next(below: 8))
    case 2: bytes[position] = UInt8(random.next(below: 256))
    case 3: bytes[position] = [0, 0x7F, 0x80, 0xFF][random.next(below: 4)]
    case 4: bytes.remove(at: position)
    case 5: bytes.insert(contentsOf: bytes[position..<end], at: position)
    case 6:
      for index in position..<min(position + 8, bytes.count) { bytes[index] = index == position + 7 ? 0x7F : 0xFF }
    case 7:
      let other = corpus[random.next(below: corpus.count)]
      let start = random.next(below: other.count)
      bytes.replaceSubrange(position..<end, with: other[start..<min(start + end - position, other.count)])
    case 8 where random.next(below: 8) == 0: bytes.removeLast(random.next(below: bytes.count))
    default:
      if words.isEmpty {
        bytes.insert(UInt8(random.next(below: 256)), at: position)
      } else {
        bytes.insert(contentsOf: words[random.next(below: words.count)], at: position)
      }
    }
  }

  /// Mostly in the directories, which are at the ends.
  private mutating func place(in bytes: [UInt8]) -> Int {
    switch random.next(below: 3) {
    case 0: random.next(below: bytes.count)
    case 1: random.next(below: min(600, bytes.count))
    default: bytes.count - 1 - random.next(below: min(1500, bytes.count))
    }
  }
}

/// How much is tried: a little in every run of the tests, and as much as the environment says.
enum Fuzz {
  private static let environment = ProcessInfo.processInfo.environment
  /// `HYVIDEO_FUZZ_COUNT`: how many files each reader is given.
  static let longCount = environment["HYVIDEO_FUZZ_COUNT"].flatMap { Int($0) }
  static let count = longCount ?? 600
  /// `HYVIDEO_FUZZ_SEED`.
  static let seed = environment["HYVIDEO_FUZZ_SEED"].flatMap { UInt64($0) } ?? 1

  /// Tries that many inputs and checks that none takes long or makes the process large.
  /// - Parameter body: Reads the next input; answers whether it was taken.
  static func run(_ reader: String, _ body: () throws -> Bool) throws {
    let (start, before) = (ContinuousClock.now, peakBytes)
    var (taken, slowest) = (0, Duration.zero)
    for _ in 0..<count {
      let began = ContinuousClock.now
      if try body() { taken += 1 }
      slowest = max(slowest, ContinuousClock.now - began)
    }
    #expect(slowest < .seconds(20), "\(reader): an input took \(slowest)")
    #expect(taken > 0 && taken < count, "\(reader): \(taken) of \(count) were taken")
    // What is tried has a few kilobytes: what is kept beside the pages of files must stay small.
    #expect(peakBytes - before < 1 << 30, "\(reader): the process grew from \(before) to \(peakBytes) bytes")
    if longCount != nil {
      print(
        "fuzz \(reader): \(count) inputs, seed \(seed), \(taken) taken, \(ContinuousClock.now - start), slowest \(slowest), "
          + "peak of the process \(peakBytes >> 20) MiB")
    }
  }

  /// The largest resident size of the process so far.
  static var peakBytes: Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
    return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
  }
}
