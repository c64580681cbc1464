import AscendBackend
import BackendConformance
import TensorCore
import TensorOps
import Testing

/// Weights that stay with the host and are brought to the device as they are used.
@Suite struct WeightStreamingTests {
  private struct Bench {
    let emulator: EmulatedCANN
    let device: AscendDevice
    let resident: AscendBackend
    let streamed: AscendBackend
    var random = RandomTensors(seed: 8)

    init(memory: AscendDevice.Memory = .direct, byteCount: Int = 2 << 30) throws {
      emulator = try EmulatedCANN(byteCount: byteCount)
      device = try AscendDevice(index: 0, libraries: emulator.libraries(), memory: memory)
      resident = AscendBackend(device: device)
      streamed = AscendBackend(device: device, streamsWeights: true)
    }

    /// 128 KiB on the device.
    mutating func weight(_ name: String, _ format: WeightFormat = .bfloat16) -> Weight {
      random.weight(name, [256, 256], format)
    }

    func product(_ x: Tensor, _ weight: Weight, on backend: AscendBackend) throws -> [Float] {
      try backend.download(backend.linear([x], weight: weight, bias: nil, activation: .none)).floats()
    }
  }

  @Test(arguments: [
    WeightFormat.bfloat16, .float32, WeightFormat(.float16), WeightFormat(.float8E4M3, scaling: .tensor),
  ])
  func `products are those of weights on the device, read ahead or not`(_ format: WeightFormat) throws {
    var bench = try Bench()
    let weight = bench.weight("w", format)
    let x = try bench.resident.upload(bench.random.tensor([3, 256]))
    let expected = try bench.product(x, bench.resident.adopt(weight), on: bench.resident)
    let adopted = try bench.streamed.adopt(weight)
    #expect(try bench.product(x, adopted, on: bench.streamed) == expected)
    adopted.release()
    adopted.prefetch()
    #expect(try bench.product(x, adopted, on: bench.streamed) == expected)
    #expect(try bench.emulator.violations() == [])
  }

  @Test(arguments: [AscendDevice.Memory.pooled, .direct])
  func `memory holds a window, whatever the number of weights`(_ memory: AscendDevice.Memory) throws {
    let emulator: EmulatedCANN
    do {
      var bench = try Bench(memory: memory)
      emulator = bench.emulator
      let weights = (0..<20).map { bench.weight("w\($0)") }
      let x = try bench.resident.upload(bench.random.tensor([3, 256]))
      let adopted = try weights.map { try bench.streamed.adopt($0) }
      let before = bench.device.memoryUse.bytesInUse
      bench.device.resetMemoryPeak()
      for (index, weight) in adopted.enumerated() {
        // As the window of a pass does: the next but one on its way, those before let go.
        if index + 1 < adopted.count { adopted[index + 1].prefetch() }
        let y = try bench.streamed.linear([x], weight: weight, bias: nil, activation: .none)
        if index > 0 { adopted[index - 1].release() }
        if index % 7 == 0 { _ = try bench.streamed.download(y) }
      }
      for weight in adopted { weight.release() }
      try bench.streamed.synchronize()
      #expect(bench.device.memoryUse.bytesInUse <= before + 1 << 16)
      #expect(bench.device.memoryUse.peakBytesInUse < before + 5 * (1 << 17))
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test func `a weight that is let go while it is copied, and asked for again, arrives whole`() throws {
    var bench = try Bench(memory: .pooled)
    let weight = bench.weight("w")
    let x = try bench.resident.upload(bench.random.tensor([3, 256]))
    let expected = try bench.product(x, bench.resident.adopt(weight), on: bench.resident)
    let adopted = try bench.streamed.adopt(weight)
    for _ in 0..<5 {
      adopted.prefetch()
      adopted.release()
      adopted.prefetch()
      adopted.prefetch()
      #expect(try bench.product(x, adopted, on: bench.streamed) == expected)
      adopted.release()
      adopted.release()
    }
    #expect(try bench.emulator.violations() == [])
  }

  @Test func `a weight for which there is no room is an error where it is used, and can be used later`() throws {
    let emulator: EmulatedCANN
    do {
      var bench = try Bench()
      emulator = bench.emulator
      let adopted = try bench.streamed.adopt(bench.weight("w"))
      let x = try bench.resident.upload(bench.random.tensor([3, 256]))
      try bench.emulator.failAllocation(1)
      adopted.prefetch()
      // The device's thread reads ahead when it comes to it; asking it for something waits until it has tried.
      #expect(bench.device.memoryUse.bytesInUse > 0)
      #expect {
        _ = try bench.streamed.linear([x], weight: adopted, bias: nil, activation: .none)
      } throws: { error in
        guard case .outOfMemory(let operation, _, _)? = error as? BackendError else { return false }
        return operation.contains("w")
      }
      try bench.emulator.failAllocation(0)
      _ = try bench.product(x, adopted, on: bench.streamed)
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test func `small parameters stay on the device`() throws {
    var bench = try Bench()
    let before = bench.device.memoryUse.bytesInUse
    let bias = try bench.streamed.adopt(bench.random.weight("b", [256], .bfloat16))
    #expect(bench.device.memoryUse.bytesInUse > before)
    bias.release()
    #expect(bench.device.memoryUse.bytesInUse > before)
    #expect(bias.dtype == .bfloat16 && bias.shape == [256])
  }
}
