import AscendBackend
import BackendConformance
import CAscend
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// What the backend does beyond single operations: memory, missing functions, failures.
@Suite struct AscendBackendTests {
  private func ones(_ shape: Shape) -> Tensor { Tensor(repeating: 1, shape: shape) }

  @Test(arguments: [AscendDevice.Memory.pooled, .direct])
  func `nothing is left behind and no rule is broken`(_ memory: AscendDevice.Memory) throws {
    let emulator = try EmulatedCANN()
    do {
      let backend = try emulator.backend(memory: memory)
      let x = try backend.upload(ones([3, 5]))
      let sum = try backend.residual(x, gate: nil, x)
      #expect(try backend.download(sum).floats() == [Float](repeating: 2, count: 15))
      #expect(backend.device.memoryUse.bytesInUse > 0)
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test func `memory of tensors that are gone is used again`() throws {
    let emulator = try EmulatedCANN()
    let backend = try emulator.backend(memory: .pooled)
    let x = try backend.upload(ones([1000, 1000]))
    let before = backend.device.memoryUse
    for _ in 0..<50 { _ = try backend.activate(x, .silu) }
    let after = backend.device.memoryUse
    #expect(after.bytesReserved == before.bytesReserved)
    #expect(after.peakBytesInUse <= before.bytesInUse + 2 * 2_001_024)
    #expect(try emulator.violations() == [])
  }

  @Test func `a large tensor takes the place of those that are gone, not memory beside it`() throws {
    let emulator = try EmulatedCANN()
    let backend = try emulator.backend(memory: .pooled)
    func room(megabytes: Int) throws -> Tensor { try backend.upload(ones([megabytes << 18])) }
    let kept = try room(megabytes: 1)
    for megabytes in [70, 80, 90] { _ = try backend.activate(room(megabytes: megabytes), .silu) }
    // The first segment, and the last tensor's input and result.
    #expect(backend.device.memoryUse.bytesReserved < 64 << 20 + 2 * 92 << 20)
    #expect(try backend.download(kept).floats().allSatisfy { $0 == 1 })
    #expect(try emulator.violations() == [])
  }

  @Test func `a full device is an error that says so, and the device goes on`() throws {
    let emulator = try EmulatedCANN(byteCount: 64 << 20)
    let backend = try emulator.backend(memory: .direct)
    let x = try backend.upload(ones([2000, 2000]))
    var kept: [Tensor] = []
    #expect {
      for _ in 0..<10 { kept.append(try backend.activate(x, .silu)) }
    } throws: { error in
      guard let error = error as? BackendError, case .outOfMemory = error else { return false }
      return "\(error)".contains("aclnnSilu")
    }
    kept = []
    #expect(try backend.download(backend.activate(x, .none)).floats().allSatisfy { $0 == 1 })
    #expect(try emulator.violations() == [])
  }

  @Test(arguments: 1...6)
  func `a failing allocation is an error and leaks nothing`(_ k: Int) throws {
    let emulator = try EmulatedCANN()
    do {
      let backend = try emulator.backend(memory: .direct)
      let x = try backend.upload(ones([4, 32]))
      let weight = try backend.adopt(Weight(name: "w", tensor: ones([32, 64])))
      try emulator.failAllocation(k)
      #expect(throws: BackendError.self) {
        for _ in 0..<6 { _ = try backend.linear([x, x], weight: weight, bias: nil, activation: .silu) }
      }
      try emulator.failAllocation(0)
      #expect(try backend.isFinite(backend.linear([x, x], weight: weight, bias: nil, activation: .silu)))
    }
    #expect(try emulator.violations() == [])
    #expect(try emulator.leaksAtTheEnd() == [])
  }

  @Test func `a failing kernel is an error at the next wait, with CANN's words`() throws {
    let emulator = try EmulatedCANN()
    let backend = try emulator.backend()
    let x = try backend.upload(ones([4, 4]))
    _ = try backend.download(x)
    try emulator.failKernel(1)
    let y = try backend.activate(x, .geluTanh)
    #expect {
      _ = try backend.download(y)
    } throws: {
      "\($0)".contains("507015") && "\($0)".contains("aclnnGeluV2")
    }
  }

  @Test(arguments: ["aclnnSilu", "aclnnSiluGetWorkspaceSize"])
  func `a missing operator is an error where it is needed only`(_ name: String) throws {
    let emulator = try EmulatedCANN()
    let backend = try emulator.backend(hiding: [name])
    let x = try backend.upload(ones([2, 2]))
    _ = try backend.download(backend.activate(x, .geluTanh))
    #expect {
      _ = try backend.activate(x, .silu)
    } throws: {
      "\($0)".contains("aclnnSilu") && "\($0)".contains("libAscendEmulator.so")
    }
  }

  @Test(arguments: [1, 2])
  func `a device that does not open leaves nothing behind, and opens later`(_ buffer: Int) throws {
    let emulator = try EmulatedCANN()
    try emulator.failPinned(buffer)
    #expect {
      _ = try emulator.backend()
    } throws: {
      "\($0)".contains("out of pinned memory")
    }
    #expect(try emulator.leaks() == [] && emulator.violations() == [])
    try emulator.failPinned(0)
    let backend = try emulator.backend()
    #expect(try backend.isFinite(backend.upload(ones([2]))))
  }

  @Test func `CANN is ended when its last device is closed, also after a failure, and can be started again`() throws {
    let emulator = try EmulatedCANN()
    let environment = ["HYVIDEO_CANN_LIBRARY_PATH": emulator.path]
    for fails in [false, true, false] {
      let system = try AscendSystem(environment: environment)
      #expect(try system.deviceCount() == 1)
      do {
        let backend = AscendBackend(device: try AscendDevice(index: 0, libraries: system.libraries))
        let x = try backend.upload(ones([2, 2]))
        _ = try backend.download(x)
        if fails { try emulator.failKernel(1) }
        let y = try backend.activate(x, .silu)
        if fails { #expect(throws: BackendError.self) { _ = try backend.download(y) } }
      }
      #expect(system.end().isEmpty)
      #expect(try emulator.function("aclFinalize", aclFinalizeFunction.self)() == 100001, "it had ended")
      // Nothing is left to end.
      #expect(system.end().isEmpty)
    }
    #expect(try emulator.leaks() == [])
    #expect(try emulator.violations().count == 3, "the calls of aclFinalize above")
  }

  @Test func `a missing part of the runtime is named`() throws {
    let libraries = try EmulatedCANN().libraries(hiding: ["aclrtMalloc"])
    #expect {
      _ = try AscendDevice(index: 0, libraries: libraries)
    } throws: {
      "\($0)".contains("aclrtMalloc")
    }
  }

  @Test func `a device that is not there is refused with their number`() throws {
    let libraries = try EmulatedCANN(devices: 2).libraries()
    #expect {
      _ = try AscendDevice(index: 2, libraries: libraries)
    } throws: {
      "\($0)".hasPrefix("no Ascend device 2: expected an index below 2")
    }
  }

  @Test func `missing libraries are reported with the places that were searched`() {
    #expect {
      _ = try CANNLibraries(environment: ["HYVIDEO_CANN_LIBRARY_PATH": "/nowhere"])
    } throws: {
      "\($0)".contains("/nowhere") && "\($0)".contains("set_env.sh")
    }
  }

  @Test func `operators that older releases lack are replaced by others`() throws {
    let emulator = try EmulatedCANN()
    let backend = try emulator.backend(hiding: ["aclnnAdaLayerNorm", "aclnnGroupNormSiluV2"])
    for conformance in ConformanceCase.normalization {
      let expected = try conformance.run(ReferenceBackend(), rounding: .bfloat16)
      let actual = try conformance.run(backend, rounding: .bfloat16)
      for (a, b) in zip(actual, expected) { expectClose(a, b, relative: 1e-2, "\(conformance)") }
    }
    #expect(try emulator.runs("aclnnGroupNorm") > 0)
    #expect(try emulator.runs("aclnnAdaLayerNorm") == 0)
    #expect(try emulator.violations() == [])
  }
}
