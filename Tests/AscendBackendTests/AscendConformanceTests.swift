import AscendBackend
import BackendConformance
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// The NPU's backend on emulated devices against the reference.
@Suite struct AscendConformanceTests {
  private static let emulator = Result { try EmulatedCANN() }
  /// Every tensor its own allocation, so that each use beyond a tensor's life is seen.
  private static let backend = Result { try emulator.get().backend() }

  @Test(arguments: ConformanceCase.all)
  func `operations agree with the reference`(_ conformance: ConformanceCase) throws {
    let emulator = try Self.emulator.get()
    let backend = try Self.backend.get()
    let expected = try conformance.run(ReferenceBackend(), rounding: .bfloat16)
    #expect(!expected.isEmpty)
    let actual = try conformance.run(backend, rounding: .bfloat16)
    #expect(actual.count == expected.count)
    for (index, (a, b)) in zip(actual, expected).enumerated() {
      #expect(a.isContiguous && a.dtype == .float32, "result \(index) is \(a)")
      expectClose(a, b, relative: 8e-3, "\(conformance), result \(index)")
    }
    #expect(try emulator.violations() == [])
  }
}
