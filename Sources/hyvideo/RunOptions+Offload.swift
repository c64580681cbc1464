import Checkpoints
import Foundation
import Generation

extension RunOptions {
  /// Whether weights are read from disk whatever else fits: that is asked for, or the transformer is larger than half of the
  /// memory.
  func offloads(_ model: ModelFolder) throws -> Bool { try Self.offloads(model, useCpuOffload) }

  private static func offloads(_ model: ModelFolder, _ isAsked: Bool) throws -> Bool {
    try isAsked || isLarge(model.transformerCheckpoint().byteCount)
  }

  /// Whether so many bytes are more than half of the memory.
  static func isLarge(_ byteCount: Int) -> Bool {
    byteCount > Int(clamping: ProcessInfo.processInfo.physicalMemory) / 2
  }

  /// Reads weights from disk where that is asked for or the transformer is larger than half of the memory.
  static func readAhead(for model: ModelFolder, offloads: Bool) throws -> WeightReadAhead? {
    try Self.offloads(model, offloads) ? WeightReadAhead(windowBytes: Forecaster.windows[0]) : nil
  }
}
