import AscendBackend
import BackendConformance
import Dispatch
import Synchronization
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

  /// Host memory whose reading ahead waits until it is let through.
  private final class HeldStorage: Storage {
    private let base: any Storage
    private let reached = DispatchSemaphore(value: 0)
    private let opened = DispatchSemaphore(value: 0)
    private let patienceIsOver = Mutex(false)

    init(_ base: any Storage) { self.base = base }

    var byteCount: Int { base.byteCount }
    var hostAddress: UnsafeMutableRawPointer? { base.hostAddress }

    func prefetch(_ bytes: Range<Int>) {
      reached.signal()
      if opened.wait(timeout: .now() + 20) == .timedOut { patienceIsOver.withLock { $0 = true } }
    }

    func waitUntilHeld() { reached.wait() }

    /// - Returns: whether it was held until now.
    func letThrough() -> Bool {
      opened.signal()
      return patienceIsOver.withLock { !$0 }
    }
  }

  @Test func `a weight that has come is used while the copy behind it is held back`() throws {
    let emulator: EmulatedCANN
    do {
      var bench = try Bench()
      emulator = bench.emulator
      let weights = [bench.weight("first"), bench.weight("second")]
      let x = try bench.resident.upload(bench.random.tensor([3, 256]))
      let expected = try weights.map { try bench.product(x, bench.resident.adopt($0), on: bench.resident) }
      let held = HeldStorage(weights[1].tensor.storage)
      let second = Weight(
        name: "second", tensor: Tensor(shape: weights[1].shape, dtype: weights[1].dtype, storage: held))
      let adopted = try [weights[0], second].map { try bench.streamed.adopt($0) }
      adopted[0].prefetch()
      let reader = DispatchQueue(label: "reader")
      reader.async { adopted[1].prefetch() }
      held.waitUntilHeld()
      #expect(try bench.product(x, adopted[0], on: bench.streamed) == expected[0])
      #expect(held.letThrough(), "the first weight has waited for the second")
      reader.sync {}
      #expect(try bench.product(x, adopted[1], on: bench.streamed) == expected[1])
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test(arguments: [1, 2])
  func `where copies cannot begin, weights are brought where they are used, and nothing is left behind`(
    _ buffer: Int
  ) throws {
    let emulator: EmulatedCANN
    do {
      var bench = try Bench()
      emulator = bench.emulator
      let weight = bench.weight("w")
      let x = try bench.resident.upload(bench.random.tensor([3, 256]))
      let expected = try bench.product(x, bench.resident.adopt(weight), on: bench.resident)
      let adopted = try bench.streamed.adopt(weight)
      let before = try emulator.leaks().sorted()
      try emulator.failPinned(buffer)
      adopted.prefetch()
      #expect(try emulator.leaks().sorted() == before)
      #expect(try bench.product(x, adopted, on: bench.streamed) == expected)
      adopted.release()
      try emulator.failPinned(0)
      adopted.prefetch()
      #expect(try bench.product(x, adopted, on: bench.streamed) == expected)
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  /// More than two of the pieces that cores multiply out, the last of them short.
  private static let wide: Shape = [600, 256]

  private func expectRows(_ weight: Weight, _ random: inout RandomTensors) throws {
    let emulator = try EmulatedCANN()
    let device = try AscendDevice(index: 0, libraries: emulator.libraries())
    let ids = Tensor((0..<Int32(Self.wide[0])).map { $0 }, shape: [Self.wide[0]])
    let expected = try ReferenceBackend().embedding(ids, table: weight).floats()
    for (type, streams) in [(DType.bfloat16, false), (.bfloat16, true), (.float16, true)] {
      let backend = AscendBackend(device: device, activationType: type, streamsWeights: streams)
      let found = try backend.download(backend.embedding(ids, table: backend.adopt(weight))).floats()
      let rounded = expected.map { type == .bfloat16 ? Float(BFloat16($0)) : Float(Float16($0)) }
      #expect(zip(found, rounded).allSatisfy { $0.bitPattern == $1.bitPattern }, "\(type), streamed: \(streams)")
    }
    #expect(try emulator.violations() == [])
  }

  @Test(arguments: BlockFormat.allCases)
  func `blocks are multiplied out to the bits of the reference, by any number of cores`(_ format: BlockFormat) throws {
    var random = RandomTensors(seed: 5)
    try expectRows(random.weight("w", Self.wide, format), &random)
  }

  @Test(arguments: [
    WeightFormat(.float8E4M3, scaling: .tensor), WeightFormat(.float8E4M3, scaling: .rows), WeightFormat(.float8E5M2),
    WeightFormat(.int8, scaling: .rows), WeightFormat(.float16), .bfloat16, .float32,
  ])
  func `8-bit and other numbers are, too`(_ format: WeightFormat) throws {
    var random = RandomTensors(seed: 6)
    try expectRows(random.weight("w", Self.wide, format), &random)
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
