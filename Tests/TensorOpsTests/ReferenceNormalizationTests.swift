import BackendConformance
import Foundation
import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite struct ReferenceNormalizationTests {
  let backend = ReferenceBackend()

  private func weight(_ values: [Float]) -> Weight {
    Weight(name: "w", tensor: Tensor(values, shape: [values.count]))
  }

  @Test func `layer norm divides by the biased deviation with epsilon under the root`() throws {
    // Mean 1, biased variance 1, √(1 + 3) = 2. An unbiased variance would be 2, an outer epsilon would give 1/4.
    let x = Tensor([0, 2] as [Float], shape: [1, 1, 2])
    let y = try backend.layerNorm(x, weight: nil, bias: nil, scale: nil, shift: nil, epsilon: 3)
    #expect(y.floats() == [-0.5, 0.5])
  }

  @Test func `layer norm of a constant row is zero`() throws {
    let x = Tensor(repeating: 1000, shape: [1, 2, 5])
    let y = try backend.layerNorm(x, weight: nil, bias: nil, scale: nil, shift: nil, epsilon: 1e-6)
    #expect(y.floats() == [Float](repeating: 0, count: 10))
  }

  @Test func `modulation belongs to the batch item and scales by one more than its number`() throws {
    let x = Tensor([0, 2, 0, 2, 0, 2, 0, 2] as [Float], shape: [2, 2, 2])
    let scale = Tensor([0, 1, 2, 3] as [Float], shape: [2, 2])
    let shift = Tensor([10, 20, 30, 40] as [Float], shape: [2, 2])
    let y = try backend.layerNorm(
      x, weight: weight([2, 4]), bias: weight([1, 1]), scale: scale, shift: shift, epsilon: 0)
    // (-1, 1) · (2, 4) + 1 = (-1, 5), then · (1 + scale) + shift.
    #expect(y.floats() == [9, 30, 9, 30, 27, 60, 27, 60])
  }

  @Test func `RMS norm subtracts no mean and has epsilon under the root`() throws {
    let ones = Tensor([1, 1] as [Float], shape: [1, 2])
    #expect(try backend.rmsNorm(ones, weight: weight([1, 6]), epsilon: 3).floats() == [0.5, 3])
    let x = Tensor([3, 4] as [Float], shape: [1, 2])
    let y = try backend.rmsNorm(x, weight: weight([1, 1]), epsilon: 0).floats()
    #expect(abs(y[0] - 0.848_528_1) < 1e-6 && abs(y[1] - 1.131_370_9) < 1e-6)
  }

  @Test func `heads are normalized one by one`() throws {
    let x = Tensor([3, 3, -0.5, 0.5] as [Float], shape: [1, 1, 2, 2])
    let y = try backend.headNorm(x, weight: weight([1, 2]), epsilon: 0, rotary: nil)
    #expect(y.floats() == [1, 2, -1, 2])
  }

  /// Cosines and sines as the video transformer has them: 8 frequencies of time, 28 of height, 28 of width, base 256.
  private func rotaryRow(_ position: [Double]) -> (cosines: [Float], sines: [Float]) {
    var angles: [Double] = []
    for (position, size) in zip(position, [16, 56, 56]) {
      for pair in 0..<size / 2 {
        let exponent = -2 * Double(pair) / Double(size)
        angles.append(position * pow(256, exponent))
      }
    }
    return (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
  }

  @Test func `rotating (1, 0) by the angles of token (1, 2, 3) gives the published cosines and sines`() throws {
    let (cosines, sines) = rotaryRow([1, 2, 3])
    let table = RotaryTable(
      cosines: Tensor(cosines, shape: [1, 64]), sines: Tensor(sines, shape: [1, 64]), pairing: .interleaved)
    let x = Tensor((0..<128).map { Float(1 - $0 % 2) }, shape: [1, 1, 1, 128])
    let y = try backend.headNorm(x, weight: nil, epsilon: 0, rotary: table).floats()
    let channels = [0, 2, 14, 16, 18, 72, 74, 126]
    let expectedCosines: [Float] = [
      0.540302, 0.877583, 0.999969, -0.416147, -0.069818, -0.989992, -0.777204, 0.999898,
    ]
    let expectedSines: [Float] = [0.841471, 0.479426, 0.007812, 0.909297, 0.997560, 0.141120, 0.629249, 0.014285]
    for (index, channel) in channels.enumerated() {
      #expect(abs(y[channel] - expectedCosines[index]) < 1e-6)
      #expect(abs(y[channel + 1] - expectedSines[index]) < 1e-6)
    }
  }

  @Test func `interleaved pairs are neighbours and halves are half a head apart`() throws {
    // A quarter turn takes (a, b) to (-b, a).
    func rotated(_ pairing: RotaryTable.Pairing) throws -> [Float] {
      let table = RotaryTable(
        cosines: Tensor([0, 1] as [Float], shape: [1, 2]), sines: Tensor([1, 0] as [Float], shape: [1, 2]),
        pairing: pairing)
      let x = Tensor([1, 2, 3, 4] as [Float], shape: [1, 1, 1, 4])
      return try backend.headNorm(x, weight: nil, epsilon: 0, rotary: table).floats()
    }
    #expect(try rotated(.interleaved) == [-2, 1, 3, 4])
    #expect(try rotated(.halves) == [-3, 2, 1, 4])
  }

  @Test func `the angle belongs to the token and the norm comes before the rotation`() throws {
    let table = RotaryTable(
      cosines: Tensor([1, 0] as [Float], shape: [2, 1]), sines: Tensor([0, 1] as [Float], shape: [2, 1]),
      pairing: .interleaved)
    let x = Tensor(repeating: 5, shape: [2, 2, 2, 2])
    let y = try backend.headNorm(x, weight: weight([1, 3]), epsilon: 0, rotary: table)
    let item: [Float] = [1, 3, 1, 3, -3, 1, -3, 1]
    #expect(y.floats() == item + item)
  }

  @Test func `group norm has one mean over all channels of a group and all frames`() throws {
    // Group 0 is 0, 2, 0, 2 (mean 1, deviation 1); group 1 is 1, 3, 5, 7 (mean 4, variance 5, epsilon 4: √9 = 3).
    let x = Tensor([0, 0, 2, 2, 1, 3, 5, 7] as [Float], shape: [1, 4, 2, 1, 1])
    let y = try backend.groupNorm(
      x, groups: 2, weight: weight([1, 1, 3, 3]), bias: weight([0, 1, 0, 0]), epsilon: 4, activation: .none)
    let first = Float(1 / 5.0.squareRoot())
    let expected = Tensor([-first, -first, 1 + first, 1 + first, -3, -1, 1, 3], shape: [1, 4, 2, 1, 1])
    expectClose(y, expected, relative: 1e-7, "group norm")
  }

  @Test func `group norm lets a late frame change early ones`() throws {
    var random = RandomTensors(seed: 1)
    var values = random.values(2 * 3 * 4)
    func norm(_ values: [Float]) throws -> [Float] {
      try backend.groupNorm(
        Tensor(values, shape: [1, 2, 3, 2, 2]), groups: 1, weight: weight([1, 1]), bias: weight([0, 0]), epsilon: 1e-6,
        activation: .none
      ).floats()
    }
    let before = try norm(values)
    values[11] += 5
    #expect(try norm(values)[0] != before[0])
  }

  @Test func `group norm ends with its activation`() throws {
    let x = Tensor([-1, 1] as [Float], shape: [1, 1, 1, 1, 2])
    let y = try backend.groupNorm(
      x, groups: 1, weight: weight([1]), bias: weight([0]), epsilon: 0, activation: .silu
    ).floats()
    #expect(abs(y[0] + 0.268_941_42) < 1e-7 && abs(y[1] - 0.731_058_58) < 1e-7)
  }
}
