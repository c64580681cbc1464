import BackendConformance
import CPUBackend
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Products of 8-bit integers against plain loops over the same integers.
@Suite(.enabled(if: CPUBackend.hasInt8Products)) struct Int8ProductTests {
  private static let rowFactors = WeightFormat(.int8, scaling: .rows)
  private static let threadCounts = [1, 3]

  private func backend(_ threads: Int) -> CPUBackend { CPUBackend(threads: threads, precision: .int8) }

  /// Rounds each row to 127 steps of its largest magnitude, multiplies integers, and only then takes factors.
  private func reference(
    _ inputs: [Tensor], _ weight: Weight, bias: [Float]?, _ activation: Activation
  ) throws -> Tensor {
    let (outputs, width) = (weight.shape[0], weight.shape[1])
    let stored = weight.tensor.floats().map { Int($0) }
    guard case .scaled(let tensor, _) = weight.encoding else { throw NoFactors() }
    let factors = tensor.floats()
    let parts = inputs.map { (values: $0.floats(), width: $0.shape.last) }
    var result: [Float] = []
    for row in 0..<inputs[0].shape.rows {
      let x = parts.flatMap { $0.values[row * $0.width..<(row + 1) * $0.width] }
      let largest = x.map(\.magnitude).max() ?? 0
      let integers = x.map { largest == 0 ? 0 : Int(($0 * (127 / largest)).rounded(.toNearestOrEven)) }
      for output in 0..<outputs {
        let sum = (0..<width).reduce(0) { $0 + integers[$1] * stored[output * width + $1] }
        let factor = Double(largest) / 127 * Double(factors[factors.count == 1 ? 0 : output])
        result.append(Float(Double(sum) * factor + Double(bias?[output] ?? 0)))
      }
    }
    let shape = Shape(inputs[0].shape.dimensions.dropLast() + [outputs])
    return try ReferenceBackend().activate(Tensor(result, shape: shape), activation)
  }

  private struct NoFactors: Error {}

  private func expectAgreement(
    _ inputs: [Tensor], _ weight: Weight, bias: Weight? = nil, _ activation: Activation, _ name: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let expected = try reference(inputs, weight, bias: bias?.tensor.floats(), activation)
    for threads in Self.threadCounts {
      let actual = try backend(threads).linear(inputs, weight: weight, bias: bias, activation: activation)
      expectClose(
        actual, expected, relative: 1e-5, "\(name), \(threads) threads", sourceLocation: sourceLocation)
    }
  }

  /// Rows, inputs, outputs: odd numbers, one more than common tile sizes, several tiles each way.
  private static let shapes = [
    ([5], 1, 1), ([2, 7], 48, 33), ([1, 17], 64, 96), ([1, 33], 1030, 70), ([1, 130], 72, 40), ([2, 65], 128, 257),
    ([300], 16, 24), ([2, 3, 4], 31, 16), ([1, 513], 64, 3), ([700], 40, 1100), ([3100], 24, 130),
  ]

  @Test(arguments: shapes, Activation.allCases)
  func `sums of integers are exact, and get factors, bias and nonlinearity`(
    _ shape: (leading: [Int], inputs: Int, outputs: Int), _ activation: Activation
  ) throws {
    var random = RandomTensors(seed: UInt64(shape.inputs * shape.outputs))
    let x = random.tensor(Shape(shape.leading + [shape.inputs]))
    let weight = random.weight("weight", [shape.outputs, shape.inputs], Self.rowFactors, deviation: 0.3)
    let bias = random.weight("bias", [shape.outputs])
    for bias in [bias, nil] {
      try expectAgreement([x], weight, bias: bias, activation, "\(shape), bias \(bias != nil)")
    }
  }

  @Test func `views, several inputs and parts of weights are read where they are`() throws {
    var random = RandomTensors(seed: 3)
    let weight = random.weight("weight", [40, 24], Self.rowFactors)
    for axis in 0..<3 {
      try expectAgreement([random.slice([2, 9, 24], axis: axis)], weight, .silu, "a slice along axis \(axis)")
    }
    try expectAgreement([random.channelsLast([2, 9, 24])], weight, .none, "inputs without dense rows")
    try expectAgreement([random.tensor([6, 24])], weight.rows(7..<30), .none, "some rows of a weight")
    let parts = [5, 16, 3].map { random.slice([2, 6, $0], axis: 2) }
    try expectAgreement(parts, weight, .geluTanh, "three inputs")
    let whole = random.weight("weight", [19, 24], WeightFormat(.int8, scaling: .tensor))
    try expectAgreement([random.tensor([6, 24])], whole, .none, "one factor for the weight")
  }

  @Test(arguments: [3, 40, 171])
  func `results are added to a stream, tiles that span batch items included`(_ tokens: Int) throws {
    var random = RandomTensors(seed: UInt64(tokens))
    let weight = random.weight("weight", [130, 40], Self.rowFactors, deviation: 0.3)
    let bias = random.weight("bias", [130])
    let (input, x) = (random.tensor([3, tokens, 40]), random.slice([3, tokens, 130]))
    let output = try reference([input], weight, bias: bias.tensor.floats(), .none)
    for gate in [random.tensor([3, 130]), nil] {
      let expected = try ReferenceBackend().residual(x, gate: gate, output)
      for threads in Self.threadCounts {
        let actual = try backend(threads).linear(
          [input], weight: weight, bias: bias, addedTo: ResidualStream(x, gate: gate))
        expectClose(actual, expected, relative: 1e-5, "gate \(gate != nil), \(threads) threads")
      }
    }
  }

  @Test func `the largest integers do not overflow`() throws {
    let bytes = WeightFormat.encode(Array(repeating: 127, count: 3 * 5000), shape: [3, 5000], as: .int8)
    let addresses = bytes.mutableHostPointer.assumingMemoryBound(to: Int8.self)
    for index in 0..<5000 { addresses[index] = -128 }
    let weight = Weight(name: "weight", tensor: bytes, encoding: .scaled(by: Tensor([0.5, 2, 1], shape: [3])))
    for number in [3, -3] as [Float] {
      try expectAgreement([Tensor(repeating: number, shape: [7, 5000])], weight, .none, "only \(number)")
    }
  }

  @Test func `a row of zeros gives the bias, and NaN and infinity stay in their rows`() throws {
    var random = RandomTensors(seed: 4)
    let weight = random.weight("weight", [9, 32], Self.rowFactors)
    let bias = random.weight("bias", [9])
    let x = random.tensor([6, 32])
    let numbers = x.mutableHostPointer.assumingMemoryBound(to: Float.self)
    for index in 0..<32 { numbers[index] = 0 }
    (numbers[2 * 32 + 5], numbers[4 * 32 + 31]) = (.nan, -.infinity)
    for threads in Self.threadCounts {
      let result = try backend(threads).linear([x], weight: weight, bias: bias, activation: .none).floats()
      #expect(Array(result[..<9]) == bias.tensor.floats())
      for row in 0..<6 {
        let isFinite = result[row * 9..<(row + 1) * 9].map(\.isFinite)
        #expect(isFinite == Array(repeating: row != 2 && row != 4, count: 9), "row \(row)")
      }
    }
  }

  @Test func `rounding changes little, and nothing of few rows`() throws {
    var random = RandomTensors(seed: 5)
    let weight = random.weight("weight", [64, 512], Self.rowFactors)
    let (exact, rounding) = (CPUBackend(threads: 2), backend(2))
    let x = random.tensor([1, 20, 512])
    let expected = try exact.linear([x], weight: weight, bias: nil, activation: .none)
    let actual = try rounding.linear([x], weight: weight, bias: nil, activation: .none)
    expectClose(actual, expected, relative: 0.02, "512 inputs")
    #expect(actual.floats() != expected.floats(), "they are multiplied as integers")
    let few = x.slice(1, 0..<4)
    #expect(
      try rounding.linear([few], weight: weight, bias: nil, activation: .silu).floats()
        == exact.linear([few], weight: weight, bias: nil, activation: .silu).floats())
  }

  /// All but int8 weights with factors, and attention.
  @Test(
    arguments: (ConformanceCase.linear + ConformanceCase.addedLinear).filter { !$0.name.contains("int8") }
      + ConformanceCase.storedWeights + ConformanceCase.attention)
  func `other weights and attention are untouched`(_ conformance: ConformanceCase) throws {
    let expected = try conformance.run(CPUBackend(threads: 2))
    let actual = try conformance.run(backend(2))
    #expect(!expected.isEmpty)
    for (a, b) in zip(actual, expected) { #expect(a.floats().map(\.bitPattern) == b.floats().map(\.bitPattern)) }
  }
}
