import BackendConformance
import TensorCore
import TensorTesting
import Testing

@Suite struct RandomTensorsTests {
  @Test func `a seed gives the published sequence of SplitMix64`() {
    var random = RandomTensors(seed: 1_234_567)
    #expect(random.next() == 6_457_827_717_110_365_317)
    #expect(random.next() == 3_203_168_211_198_807_973)
  }

  @Test func `numbers are normally distributed`() {
    var random = RandomTensors(seed: 7)
    let values = random.values(40_000, mean: 3, deviation: 2).map { Double($0) }
    let mean = values.reduce(0, +) / 40_000
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 40_000
    #expect(abs(mean - 3) < 0.05 && abs(variance - 4) < 0.15)
    let inside = values.filter { abs($0 - 3) < 2 }.count
    #expect(abs(Double(inside) / 40_000 - 0.6827) < 0.01)
  }

  @Test func `slices and permutations have gaps and the shape that was asked for`() {
    var random = RandomTensors(seed: 1)
    let slice = random.slice([2, 3, 4])
    #expect(slice.shape == [2, 3, 4] && !slice.isContiguous && slice.strides[2] == 1)
    let clip = random.channelsLast([2, 3, 4, 5, 6])
    #expect(clip.shape == [2, 3, 4, 5, 6] && clip.strides[1] == 1 && clip.strides[4] == 3)
  }

  @Test(arguments: WeightFormat.all)
  func `a weight holds its numbers as well as its format can`(_ format: WeightFormat) {
    var random = RandomTensors(seed: 2)
    let weight = random.weight("w", [6, 50], format)
    #expect(weight.dtype == format.dtype)
    var values = weight.tensor.floats()
    if case .scaled(let factors, _) = weight.encoding {
      #expect(factors.shape == [format.scaling == .tensor ? 1 : 6])
      let numbers = factors.floats()
      for index in values.indices { values[index] *= numbers.count == 1 ? numbers[0] : numbers[index / 50] }
    }
    var same = RandomTensors(seed: 2)
    let error: [DType: Double] = [
      .float32: 0, .float16: 4e-4, .bfloat16: 3e-3, .float8E4M3: 0.05, .float8E5M2: 0.1, .int8: 0.03,
    ]
    expectClose(
      Tensor(values, shape: [6, 50]), Tensor(same.values(300), shape: [6, 50]), relative: error[format.dtype] ?? 0,
      "\(format)")
  }
}
