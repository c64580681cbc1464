import TensorCore
import Testing

@Suite struct MersenneTwisterTests {
  @Test(
    arguments: [
      (5489, [3_499_211_612, 581_869_302, 3_890_346_734, 3_586_334_585, 545_404_204]),
      (42, [1_608_637_542, 3_421_126_067, 4_083_286_876, 787_846_414, 3_143_890_026]),
    ] as [(UInt32, [UInt32])])
  func `a seed gives the published first words`(seed: UInt32, words: [UInt32]) {
    var twister = MersenneTwister(seed: seed)
    #expect(words.map { _ in twister.random32() } == words)
  }

  @Test func `word 10,000 of the default seed is the one that the C++ standard demands`() {
    var twister = MersenneTwister()
    var last: UInt32 = 0
    for _ in 0..<10_000 { last = twister.random32() }
    #expect(last == 4_123_659_995)
  }

  @Test func `a copy continues on its own`() {
    var first = MersenneTwister(seed: 3)
    for _ in 0..<623 { _ = first.random32() }
    var second = first
    let words = (0..<1300).map { _ in first.random32() }
    #expect((0..<1300).map { _ in second.random32() } == words)
  }
}
