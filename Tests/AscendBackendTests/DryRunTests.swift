import AscendBackend
import BackendConformance
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Emulated devices that keep shapes and accounts only.
@Suite struct DryRunTests {
  private static let emulator = Result { try EmulatedCANN() }

  private func backend(byteCount: Int = 64 << 30) throws -> AscendPlanningBackend {
    try AscendPlanningBackend(dryRunIn: Self.emulator.get().libraries(), byteCount: byteCount)
  }

  private func kernels(_ backend: AscendPlanningBackend) -> [String: OperationTotals] {
    var all: [String: OperationTotals] = [:]
    for (group, work) in backend.journal.take().totals { all[group.format, default: OperationTotals()] += work }
    return all
  }

  @Test func `kernels are counted with their operations, bytes and copies`() throws {
    let backend = try backend()
    let x = backend.memory.tensor([1, 1000, 256])
    let weight = try backend.adopt(Weight(name: "w", tensor: backend.memory.tensor([512, 256], .bfloat16)))
    let bias = try backend.adopt(Weight(name: "b", tensor: backend.memory.tensor([512], .bfloat16)))
    let input = try backend.upload(x)
    _ = kernels(backend)
    _ = try backend.linear([input], weight: weight, bias: bias, activation: .none)
    _ = try backend.linear([input.slice(2, 0..<256)], weight: weight, bias: bias, activation: .silu)
    let found = kernels(backend)
    #expect(found.keys.sorted() == ["aclnnAddmm", "aclnnSilu"])
    let product = try #require(found["aclnnAddmm"])
    #expect(product.calls == 2)
    #expect(product.operations == 524_288_000)
    #expect(product.bytesRead == 1_550_336)
    #expect(product.bytesWritten == 2_048_000)
    let activation = try #require(found["aclnnSilu"])
    #expect(activation.calls == 1 && activation.operations == 0)
    #expect(activation.bytesRead == 1_024_000)
    // A view with gaps is copied before it is normalized.
    let heads = try backend.upload(backend.memory.tensor([1, 100, 3, 128])).slice(2, 0..<1)
    _ = kernels(backend)
    let norm = try backend.adopt(Weight(name: "n", tensor: backend.memory.tensor([128], .bfloat16)))
    _ = try backend.rmsNorm(heads, weight: norm, epsilon: 1e-6)
    let norms = try #require(kernels(backend)["aclnnRmsNorm"])
    #expect(norms.bytesRead == 51_456)
  }

  @Test func `attention counts what queries see, and convolution every tap`() throws {
    let backend = try backend()
    let tokens = try backend.upload(backend.memory.tensor([1, 1000, 24, 128]))
    _ = try backend.attention(
      queries: [tokens], keyValues: [KeyValue(key: tokens, value: tokens)], scale: 1, mask: .none, logSumExp: true)
    #expect(kernels(backend)["aclnnFusedInferAttentionScoreV2"]?.operations == 12_288_000_000)
    // Four frames of 100 positions see 1, 2, 3 and 4 frames.
    let clip = try backend.upload(backend.memory.tensor([1, 400, 1, 512]))
    _ = try backend.attention(
      queries: [clip], keyValues: [KeyValue(key: clip, value: clip)], scale: 1, mask: AttentionMask(causalBlock: 100),
      logSumExp: false)
    #expect(kernels(backend)["aclnnFusedInferAttentionScoreV2"]?.operations == 204_800_000)
    let weight = try backend.adopt(Weight(name: "w", tensor: backend.memory.tensor([8, 4, 3, 3, 3], .bfloat16)))
    let video = try backend.upload(backend.memory.tensor([1, 4, 5, 6, 7]))
    _ = try backend.causalConvolution(video, weight: weight, bias: nil, upsampling: .none, residual: nil)
    #expect(kernels(backend)["aclnnConvolution"]?.operations == 362_880)
  }

  @Test func `memory is booked but not there, and its peak is seen`() throws {
    let backend = try backend()
    _ = backend.takeDevicePeak()
    var tensor: Tensor? = try backend.upload(backend.memory.tensor([10_000_000_000], .bfloat16))
    #expect(tensor?.storage.hostAddress == nil)
    let peak = backend.takeDevicePeak()
    #expect(peak > 20_000_000_000 && peak < 20_100_000_000, "\(peak)")
    tensor = nil
    _ = try backend.upload(backend.memory.tensor([1000]))
    #expect(backend.takeDevicePeak() < 20_300_000_000)
  }

  @Test func `a card that is too small is out of memory`() throws {
    let backend = try backend(byteCount: 1 << 30)
    #expect {
      _ = try backend.upload(backend.memory.tensor([1 << 30], .bfloat16))
    } throws: { error in
      guard let error = error as? BackendError, case .outOfMemory = error else { return false }
      return true
    }
  }

  @Test func `the limits of operators hold for tensors of any size`() throws {
    let backend = try backend()
    let heads = try backend.upload(backend.memory.tensor([1, 10, 1000, 128]))
    let table = backend.memory.tensor([10, 64])
    #expect {
      _ = try backend.headNorm(
        heads, weight: nil, epsilon: 1e-6, rotary: RotaryTable(cosines: table, sines: table, pairing: .interleaved))
    } throws: {
      "\($0)".contains("B * N is 1000 or more")
    }
    let video = try backend.upload(backend.memory.tensor([1, 1, 1, 2, 1_000_001]))
    let weight = try backend.adopt(Weight(name: "w", tensor: backend.memory.tensor([1, 1, 1, 1, 1], .bfloat16)))
    #expect {
      _ = try backend.causalConvolution(video, weight: weight, bias: nil, upsampling: .none, residual: nil)
    } throws: {
      "\($0)".contains("beyond 1 to 1,000,000")
    }
  }

  @Test func `every operation is the device's own`() throws {
    let backend = try backend()
    for conformance in ConformanceCase.all {
      let results = try conformance.run(backend, rounding: .bfloat16)
      #expect(!results.isEmpty, "\(conformance)")
    }
    #expect(kernels(backend).count > 20)
    #expect(try Self.emulator.get().violations() == [])
  }

  @Test func `dry devices leave those of the process alone`() throws {
    let emulator = try EmulatedCANN()
    do {
      let real = try emulator.backend(memory: .pooled)
      let x = try real.upload(Tensor(repeating: 2, shape: [8]))
      let dry = try AscendPlanningBackend(dryRunIn: emulator.libraries(), byteCount: 1 << 40)
      let large = try dry.upload(dry.memory.tensor([1 << 30]))
      _ = try dry.residual(large, gate: nil, large)
      #expect(try real.download(real.residual(x, gate: nil, x)).floats() == [Float](repeating: 4, count: 8))
      #expect(try emulator.runs("aclnnAdd") == 1)
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test func `a roofline takes what bounds a kernel`() {
    let roofline = AscendRoofline()
    func seconds(_ name: String, operations: Int, bytes: Int) -> Double {
      roofline.seconds(of: PlannedOperation(.kernel, [operations, bytes], format: name)) - roofline.secondsPerKernel
    }
    // 313 Tera a second at 51 %, 1.6 TB/s at 75 %.
    let products = seconds("aclnnAddmm", operations: 159_630_000_000_000, bytes: 1000)
    #expect(abs(products - 1) < 1e-6)
    let copies = seconds("aclnnInplaceCopy", operations: 0, bytes: 1_200_000_000_000)
    #expect(abs(copies - 1) < 1e-6)
    let convolution = seconds("aclnnConvolution", operations: 28_170_000_000_000, bytes: 1000)
    #expect(abs(convolution - 1) < 1e-6)
    // Seven links of 28 GB/s, or one.
    #expect(abs(roofline.seconds(sendingTo: 7, bytes: 196e9) - 1) < 1e-6)
    #expect(abs(roofline.seconds(sendingTo: 1, bytes: 28e9) - 1) < 1e-6)
    #expect(roofline.seconds(sendingTo: 0, bytes: 0) == 0)
  }
}
