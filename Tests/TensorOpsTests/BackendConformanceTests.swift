import BackendConformance
import CPUBackend
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// The processor's backend against the reference, alone and with more threads than most cases have rows.
@Suite struct BackendConformanceTests {
  static let backends: [any Backend] = [CPUBackend(threads: 1), CPUBackend(threads: 7)]

  @Test(arguments: ConformanceCase.linear)
  func `linear layers agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  @Test(arguments: ConformanceCase.addedLinear)
  func `linear layers that are added to a stream agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  /// Rows for each of the ways to make a product, weights as they are and as two types that they are stored in.
  @Test(arguments: [1, 9, 70, 600], [DType.float32, .bfloat16, .int8])
  func `what is added while it is made is what one operation after the other gives`(_ tokens: Int, _ type: DType) throws
  {
    var random = RandomTensors(seed: UInt64(tokens))
    let input = random.tensor([2, tokens, 64])
    let weight = random.weight("weight", [300, 64], WeightFormat(type, scaling: type == .int8 ? .rows : .none))
    let bias = random.weight("bias", [300])
    let (x, gate) = (random.slice([2, tokens, 300]), random.slice([2, 300]))
    for precision in ProductPrecision.allCases where Self.has(precision) {
      let backend = CPUBackend(threads: 3, precision: precision)
      for (bias, gate) in [(bias, gate), (nil, gate), (bias, nil), (nil, nil)] {
        let together = try backend.linear([input], weight: weight, bias: bias, addedTo: ResidualStream(x, gate: gate))
        let output = try backend.linear([input], weight: weight, bias: bias, activation: .none)
        let apart = try backend.contiguous(backend.residual(x, gate: gate, output))
        #expect(together.floats() == apart.floats(), "\(precision)")
      }
    }
  }

  private static func has(_ precision: ProductPrecision) -> Bool {
    switch precision {
    case .unrounded: true
    case .bfloat16: CPUBackend.hasBFloat16Products
    case .int8: CPUBackend.hasInt8Products
    }
  }

  @Test(arguments: ConformanceCase.storedWeights)
  func `linear layers with weights in blocks agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  @Test(arguments: ConformanceCase.normalization)
  func `normalizations agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  @Test(arguments: ConformanceCase.headNorm)
  func `norms and rotations of heads agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  @Test(arguments: ConformanceCase.attention)
  func `attention agrees with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  @Test(arguments: ConformanceCase.convolution)
  func `causal convolutions agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  @Test(arguments: ConformanceCase.elementwise)
  func `elementwise operations agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  @Test(arguments: ConformanceCase.layout)
  func `layout and reductions agree with the reference`(_ conformance: ConformanceCase) throws {
    try expectAgreement(conformance)
  }

  /// Inputs are bfloat16 numbers already; what is rounded inside are weights of attention and scaled queries.
  @Test(
    .enabled(if: CPUBackend.hasBFloat16Products),
    arguments: ConformanceCase.linear + ConformanceCase.addedLinear + ConformanceCase.attention)
  func `products of bfloat16 agree with the reference within its digits`(_ conformance: ConformanceCase) throws {
    let expected = try conformance.run(ReferenceBackend(), rounding: .bfloat16)
    #expect(!expected.isEmpty)
    for threads in [1, 3] {
      let actual = try conformance.run(CPUBackend(threads: threads, precision: .bfloat16), rounding: .bfloat16)
      for (index, (a, b)) in zip(actual, expected).enumerated() {
        expectClose(a, b, relative: 0.005, "\(conformance), result \(index)")
      }
    }
  }

  @Test func `names of cases are unique, so that no two share their inputs`() {
    let names = ConformanceCase.all.map(\.name)
    #expect(Set(names).count == names.count)
  }

  private func expectAgreement(_ conformance: ConformanceCase) throws {
    let expected = try conformance.run(ReferenceBackend())
    #expect(!expected.isEmpty)
    for backend in Self.backends {
      let actual = try conformance.run(backend)
      #expect(actual.count == expected.count)
      for (index, (a, b)) in zip(actual, expected).enumerated() {
        #expect(a.isContiguous && a.dtype == .float32, "\(backend.name): result \(index) is \(a)")
        expectClose(a, b, relative: conformance.relative, "\(backend.name): \(conformance), result \(index)")
      }
    }
  }
}
