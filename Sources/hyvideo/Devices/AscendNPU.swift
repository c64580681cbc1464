import AscendBackend
import Collectives
import Foundation
import Generation
import Layers
import TensorCore
import TensorOps

/// One Ascend NPU. The networks share it, each in its own type of activations.
final class AscendNPU: ComputeDevice {
  private let device: AscendDevice
  let precisions: StagePrecisions
  private let system: AscendSystem

  /// Opens a card.
  /// - Parameter choose: the number of the card, given how many there are.
  /// - Throws: `AscendError`, `RequestError`
  init(precisions: StagePrecisions, choose: (Int) throws(RequestError) -> Int) throws {
    system = try AscendSystem(environment: ProcessInfo.processInfo.environment)
    let index = try choose(try system.deviceCount())
    device = try AscendDevice(index: index, libraries: system.libraries)
    self.precisions = precisions
  }

  var kind: String { "ascend \(precisions.description)" }
  var name: String { "ascend:\(device.index)" }
  var threads: Int { 1 }
  var hasOwnMemory: Bool { true }
  var components: [String: String] {
    ["chip": device.chip].merging(system.toolkitVersion.map { ["cann": $0] } ?? [:]) { $1 }
  }

  var warnings: [String] { AscendSystem.doubt(aboutChip: device.chip).map { [$0] } ?? [] }

  func backends(streamsWeights: Bool) -> StageBackends {
    StageBackends(
      textEncoders: AscendBackend(
        device: device, activationType: precisions.textEncoders.activations, streamsWeights: streamsWeights),
      transformer: AscendBackend(
        device: device, activationType: precisions.transformer.activations, streamsWeights: streamsWeights),
      // Half a gigabyte, used tile after tile.
      autoencoder: AscendBackend(device: device, activationType: precisions.autoencoder.activations))
  }

  func group(_ hosts: any ProcessGroup) throws -> any ProcessGroup {
    hosts.size == 1 ? hosts : try HCCLProcessGroup(hosts, device: device)
  }

  func takeMemoryPeak() -> Int? {
    defer { device.resetMemoryPeak() }
    return device.memoryUse.peakBytesInUse
  }

  func recorder(_ base: any ForwardRecorder) -> any ForwardRecorder {
    ToolRanges(device).map { ToolRecorder(base, marking: $0) } ?? base
  }

  func clock() -> (any DeviceClock)? { NPUClock(stream: StreamClock(device)) }

  func measurePeak() throws -> DevicePeak {
    let peak = try AscendBackend(device: device, activationType: precisions.transformer.activations).measurePeak()
    return DevicePeak(operationsPerSecond: peak.operationsPerSecond, bytesPerSecond: peak.bytesPerSecond)
  }

  func planning() throws -> DevicePlanning {
    let status = try system.status(of: device.index)
    return try .ascend(precisions, memory: (status.freeBytes, "free on \(name)"), cards: [name])
  }
}

/// The clock of a card's stream.
private struct NPUClock: DeviceClock {
  let stream: StreamClock

  func start() { stream.start() }
  func mark() -> Int { stream.mark() }
  func moments() -> [Int64] { stream.moments() }
}
