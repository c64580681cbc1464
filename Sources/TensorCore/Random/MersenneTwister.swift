/// The 32-bit Mersenne Twister MT19937 of Matsumoto and Nishimura, seeded as PyTorch's `at::mt19937` seeds it.
public struct MersenneTwister: Sendable {
  private static let stateCount = 624
  private static let middle = 397

  private var state: [UInt32]
  private var next = MersenneTwister.stateCount

  /// Starts the stream of a seed.
  public init(seed: UInt32 = 5489) {
    state = [UInt32](repeating: seed, count: MersenneTwister.stateCount)
    for index in 1..<MersenneTwister.stateCount {
      let previous = state[index - 1]
      state[index] = 1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(index)
    }
  }

  /// The next 32 bits of the stream.
  public mutating func random32() -> UInt32 {
    if next == MersenneTwister.stateCount { regenerate() }
    let value = MersenneTwister.tempered(state[next])
    next += 1
    return value
  }

  /// Passes the next `count` outputs to `body` with their position: the fast way to draw many.
  @inline(__always)
  mutating func forEachRandom32(count: Int, _ body: (Int, UInt32) -> Void) {
    var done = 0
    while done < count {
      if next == MersenneTwister.stateCount { regenerate() }
      let length = min(MersenneTwister.stateCount - next, count - done)
      state.withUnsafeBufferPointer { words in
        for index in 0..<length { body(done + index, MersenneTwister.tempered(words[next + index])) }
      }
      next += length
      done += length
    }
  }

  /// Replaces all words of the state: word `i` from words `i`, `i + 1` and `i + 397`.
  private mutating func regenerate() {
    let count = MersenneTwister.stateCount
    let middle = MersenneTwister.middle
    state.withUnsafeMutableBufferPointer { words in
      for index in 0..<count - middle {
        words[index] = words[index + middle] ^ MersenneTwister.twisted(words[index], words[index + 1])
      }
      for index in count - middle..<count - 1 {
        words[index] = words[index + middle - count] ^ MersenneTwister.twisted(words[index], words[index + 1])
      }
      words[count - 1] = words[middle - 1] ^ MersenneTwister.twisted(words[count - 1], words[0])
    }
    next = 0
  }

  @inline(__always)
  private static func twisted(_ upper: UInt32, _ lower: UInt32) -> UInt32 {
    (((upper & 0x8000_0000) | (lower & 0x7FFF_FFFF)) >> 1) ^ ((0 &- (lower & 1)) & 0x9908_B0DF)
  }

  @inline(__always)
  private static func tempered(_ word: UInt32) -> UInt32 {
    var value = word
    value ^= value >> 11
    value ^= (value << 7) & 0x9D2C_5680
    value ^= (value << 15) & 0xEFC6_0000
    return value ^ (value >> 18)
  }
}
