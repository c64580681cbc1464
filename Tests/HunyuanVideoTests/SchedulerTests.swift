import Checkpoints
import HunyuanVideo
import StrictJSON
import TensorTesting
import Testing

@Suite struct SchedulerTests {
  @Test func `sigmas are PyTorch's to 1e-6, forwards and in reverse`() throws {
    let cases = try #require(try Goldens.json("scheduler/sigmas.json").array)
    #expect(cases.count >= 7)
    for entry in cases {
      let fields = try #require(entry.object)
      let steps = try #require(fields["steps"]?.int)
      let shift = Float(try #require(fields["shift"]?.double))
      let reverse = try #require(fields["reverse"]?.bool as Bool?)
      let sigmas = try #require(fields["sigmas"]?.array).compactMap(\.double)
      let scheduler = FlowMatchScheduler(steps: steps, shift: shift, reverse: reverse)
      #expect(scheduler.sigmas.count == sigmas.count && sigmas.count == steps + 1)
      for (actual, expected) in zip(scheduler.sigmas, sigmas) {
        #expect(abs(Double(actual) - expected) <= 1e-6)
      }
      for (actual, expected) in zip(scheduler.timesteps, sigmas) {
        #expect(abs(Double(actual) - expected * 1000) <= 1e-3)
      }
    }
  }

  @Test func `noise levels end at exactly zero and steps add up to minus one`() {
    let scheduler = FlowMatchScheduler(steps: 50, shift: 7)
    #expect(scheduler.sigmas.first == 1 && scheduler.sigmas.last == 0)
    let sum = (0..<50).reduce(Float(0)) { $0 + scheduler.stepSize($1) }
    #expect(abs(sum + 1) < 1e-6)
    #expect(abs(scheduler.timesteps[1] - 997.0930) < 1e-3)
  }

  @Test(
    arguments: [
      (1, 1000), (3, 3008), (4.5, 4512), (5, 4992), (6, 6016), (6.1, 6080), (6.5, 6496), (7, 7008), (8, 8000),
      (9, 9024),
      (10, 9984),
    ] as [(Float, Float)])
  func `the guidance input is rounded as the network was used with it`(_ scale: Float, _ input: Float) {
    #expect(guidanceInput(scale: scale) == input)
  }
}
