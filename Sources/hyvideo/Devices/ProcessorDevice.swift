import CPUBackend
import Generation
import TensorOps

/// The processor's cores. Weights lie mapped wherever they are read from.
final class ProcessorDevice: ComputeDevice {
  private let backend: CPUBackend

  /// - Parameter threads: nil for all cores that the process may use.
  /// - Throws: `ProcessorError`
  init(threads: Int?) throws {
    try CPUBackend.checkProcessor()
    backend = CPUBackend(threads: threads)
  }

  var kind: String { name }
  var precisions: StagePrecisions { .Support.cpu.usual }
  var name: String { backend.name }
  var threads: Int { backend.threads }
  var hasOwnMemory: Bool { false }
  var components: [String: String] { ["onednn": CPUBackend.libraryVersion] }

  func backends(streamsWeights: Bool) -> StageBackends {
    StageBackends(textEncoders: backend, transformer: backend, autoencoder: backend)
  }

  func measurePeak() -> DevicePeak {
    let peak = backend.measurePeak()
    return DevicePeak(operationsPerSecond: peak.operationsPerSecond, bytesPerSecond: peak.bytesPerSecond)
  }

  var planning: (() -> any PlanningBackend)? { { [backend] in CPUPlanningBackend(for: backend) } }
}
