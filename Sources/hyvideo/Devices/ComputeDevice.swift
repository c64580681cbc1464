import Collectives
import Generation
import Layers
import TensorOps

/// The device that a command computes on. What is special to a kind of device is behind this: commands name no backend.
protocol ComputeDevice: AnyObject {
  /// What decides results to their last bits: `cpu`, `ascend bf16, …`. Which card it was does not.
  var kind: String { get }
  var precisions: StagePrecisions { get }
  /// For messages and reports: `cpu`, `ascend:3`.
  var name: String { get }
  /// Host threads that compute.
  var threads: Int { get }
  /// Whether networks are copied into memory of the device's own, which is not large enough for all of them at once.
  var hasOwnMemory: Bool { get }
  /// The programs below, for reports: `onednn`, `cann`, `chip`.
  var components: [String: String] { get }

  /// What users should know of it before they trust its results.
  var warnings: [String] { get }

  /// What each network computes on.
  /// - Parameter streamsWeights: whether weights stay with the host and are brought as they are used.
  func backends(streamsWeights: Bool) -> StageBackends

  /// The group that carries the tensors of a run between its ranks' devices; all ranks call this.
  /// - Parameter hosts: the ranks as processes.
  /// - Throws: `CollectiveError` where the devices do not reach each other.
  func group(_ hosts: any ProcessGroup) throws -> any ProcessGroup

  /// The most bytes of the device's own memory that tensors have used since the last call; nil where it has none.
  func takeMemoryPeak() -> Int?

  /// A recorder that also tells the device's own profilers.
  func recorder(_ base: any ForwardRecorder) -> any ForwardRecorder

  /// The device's own clock, for profiles; nil where its calls end with its work.
  func clock() -> (any DeviceClock)?

  /// What the device gives at most, measured within about a second.
  func measurePeak() throws -> DevicePeak

  /// Its operations per second alone, as quickly as they can be measured.
  func measureOperations() throws -> Double

  /// How runs on it are planned.
  func planning() throws -> DevicePlanning
}

extension ComputeDevice {
  var warnings: [String] { [] }
  func group(_ hosts: any ProcessGroup) -> any ProcessGroup { hosts }

  /// Prints the warnings, on the first of the ranks: for commands that keep no record of a run.
  func tellWarnings(_ session: RankSession) {
    if session.isFirst { for warning in warnings { Console.error("warning: \(warning)\n") } }
  }

  func takeMemoryPeak() -> Int? { nil }
  func recorder(_ base: any ForwardRecorder) -> any ForwardRecorder { base }
  func clock() -> (any DeviceClock)? { nil }
  func measureOperations() throws -> Double { try measurePeak().operationsPerSecond }
}

/// The backends of a run's networks, all on one device.
struct StageBackends {
  var textEncoders: any Backend
  var transformer: any Backend
  var autoencoder: any Backend

  /// What the networks run in.
  /// - Parameter wrap: puts something between a network and its backend.
  func contexts(
    checksFiniteness: Bool = true, recorder: (any ForwardRecorder)? = nil,
    _ wrap: (any Backend) -> any Backend = { $0 }
  ) -> StageContexts {
    func context(_ backend: any Backend) -> ForwardContext {
      ForwardContext(backend: wrap(backend), checksFiniteness: checksFiniteness, recorder: recorder)
    }
    var contexts = StageContexts(
      textEncoders: context(textEncoders), transformer: context(transformer), autoencoder: context(autoencoder))
    // A decode keeps nothing that was finished; a step is. The first rank ends all.
    contexts.autoencoder.isStopped = {
      StopSignals.received != nil && RankSession.current?.isFirst != false
    }
    return contexts
  }
}
