import CPUBackend
import Generation
import TensorCore
import TensorOps

/// The processor's cores. Weights lie mapped wherever they are read from.
final class ProcessorDevice: ComputeDevice {
  private let backend: CPUBackend
  /// The transformer's, whose products may be rounded.
  private let transformer: CPUBackend
  let precisions: StagePrecisions

  /// - Parameter threads: nil for all cores that the process may use.
  /// - Throws: `ProcessorError`
  init(threads: Int?, precisions: StagePrecisions = .Support.cpu.usual) throws {
    try CPUBackend.checkProcessor()
    self.precisions = precisions
    backend = CPUBackend(threads: threads)
    let products = precisions.transformer.products
    transformer = products == .unrounded ? backend : CPUBackend(threads: threads, precision: products)
  }

  var kind: String { precisions == .Support.cpu.usual ? name : "\(name) \(precisions.description)" }
  var name: String { backend.name }
  var threads: Int { backend.threads }
  var hasOwnMemory: Bool { false }
  var warnings: [String] {
    let missing = backend.missingThreads
    if missing == 0 { return [] }
    return [
      "the system gave \(threads - missing) of \(threads.counted("thread")): see ulimit -u and ulimit -v, or ask for fewer "
        + "with --threads"
    ]
  }
  var components: [String: String] { ["onednn": CPUBackend.libraryVersion] }

  func backends(streamsWeights: Bool) -> StageBackends {
    StageBackends(textEncoders: backend, transformer: transformer, autoencoder: backend)
  }

  func measurePeak() -> DevicePeak {
    let peak = backend.measurePeak()
    return DevicePeak(operationsPerSecond: peak.operationsPerSecond, bytesPerSecond: peak.bytesPerSecond)
  }

  func measureOperations() -> Double { backend.measureOperations() }

  func planning() -> DevicePlanning {
    DevicePlanning(
      name: name, threads: threads, memory: nil, isHere: true, cards: nil,
      makeBackends: { [transformer] _ in PlanningBackends(CPUPlanningBackend(for: transformer)) },
      timing: { [transformer, kind] again in
        MeasuredTiming(transformer, kind: kind, threads: transformer.threads, isEmpty: again)
      },
      loadCode: { [transformer] in
        try RunPlanner.loadCode(on: transformer)
        transformer.trim()
      })
  }
}
