import AscendBackend
import Foundation
import Generation
import TensorOps

extension DevicePlanning {
  /// Of runs on Ascend NPUs: the backend on emulated devices without contents.
  /// - Parameters:
  ///   - free: what the card at hand has free; nil where there is none, and an Atlas A2 with 64 GB is taken.
  ///   - cards: the cards of a host that its ranks take.
  static func ascend(
    _ precisions: StagePrecisions, memory free: (bytes: Int, source: String)?, cards: [String]
  ) throws -> DevicePlanning {
    let libraries = try DryRunLibrary.open()
    return DevicePlanning(
      name: "ascend", threads: 1, memory: free ?? usual, isHere: free != nil, cards: cards,
      makeBackends: { streamsWeights in
        let transformer = try AscendPlanningBackend(
          dryRunIn: libraries, byteCount: unlimited, activationType: precisions.transformer.activations,
          streamsWeights: streamsWeights)
        return PlanningBackends(
          textEncoders: transformer.with(
            activationType: precisions.textEncoders.activations, streamsWeights: streamsWeights),
          transformer: transformer, autoencoder: transformer.with(activationType: precisions.autoencoder.activations),
          makeGroups: { try transformer.groups($0, parts: $1) })
      },
      timing: { _ in RooflineTiming() }, loadCode: {})
  }

  /// A plan says what a run takes, also where no card has that.
  private static let unlimited = 1 << 50

  /// The system, the driver and CANN's kernels take something of the 64 GiB; how much differs with their versions.
  private static let usual = (bytes: 60 << 30, source: "a card of 64 GiB, 4 of them for the system")
}

/// The library of emulated devices that plans are made on.
private enum DryRunLibrary {
  private static let name = "libAscendEmulator.so"

  /// Beside the program where it was built, in `lib/hyvideo` where it was installed.
  static func open() throws -> CANNLibraries {
    let program = URL(fileURLWithPath: Bundle.main.executablePath ?? CommandLine.arguments[0]).resolvingSymlinksInPath()
    let folder = program.deletingLastPathComponent()
    let places = [folder, folder.deletingLastPathComponent().appendingPathComponent("lib/hyvideo")]
      .map { $0.appendingPathComponent(name).path }
    guard let path = places.first(where: FileManager.default.fileExists) else {
      throw PlanningUnavailable(searched: places)
    }
    return try CANNLibraries(environment: ["HYVIDEO_CANN_LIBRARY_PATH": path])
  }
}

/// The times of a model of the card.
private struct RooflineTiming: PlanTiming {
  private let roofline = AscendRoofline()

  var source: String { "a roofline of the Ascend 910B (docs/ascend.md)" }

  mutating func measure(_ stages: [OperationCounts], forAtMost seconds: Double) {}

  func time(of work: OperationCounts) -> PlannedTime {
    var time = PlannedTime()
    time.modelled = roofline.seconds(of: work)
    return time
  }

  func startSeconds(of operations: Set<PlannedOperation>) -> Double { 0 }

  /// The device's own work hides the host's.
  var secondsPerCall: Double { 0 }

  func transferSeconds(of stage: RunPlan.Stage, in layout: RankLayout) -> Double {
    // Heads and tokens of the ring in the proportion in which attention sends them.
    let exchanged = 4 * Double(layout.ulysses - 1) / Double(layout.ulysses)
    let share = layout.ranks == 1 ? 0 : exchanged / (exchanged + 2 * Double(layout.ring - 1))
    let sent = Double(stage.bytesSent)
    return Double(stage.bytesRead) / roofline.hostBytesPerSecond
      + roofline.seconds(sendingTo: layout.ulysses - 1, bytes: sent * share)
      + roofline.seconds(sendingTo: min(layout.ring - 1, 1), bytes: sent * (1 - share))
  }

  /// The host's files are nothing that is known of a host with cards.
  func readingSeconds(of stage: RunPlan.Stage) -> (fast: Double, slow: Double) { (0, 0) }
}
