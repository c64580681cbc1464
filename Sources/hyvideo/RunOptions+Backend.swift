import CPUBackend
import Checkpoints
import Foundation
import Generation

extension RunOptions {
  /// Weights read ahead of their use: about a block of the 13 B network in bfloat16.
  private static let windowBytes = 512 << 20

  /// The device that the flags name.
  static func backend(device: String, threads: Int?) throws -> CPUBackend {
    try GeneratePlan.require(device == "cpu", "unknown device", "--device", "cpu", device)
    if let threads {
      try GeneratePlan.require(
        (1...1024).contains(threads), "invalid thread count", "--threads", "1 to 1024", "\(threads)")
    }
    try CPUBackend.checkProcessor()
    return CPUBackend(threads: threads)
  }

  /// Reads weights from disk where the flags or the size of the transformer ask for it.
  func readAhead(for model: ModelFolder) throws -> WeightReadAhead? {
    try Self.readAhead(for: model, offloads: useCpuOffload)
  }

  /// Reads weights from disk where that is asked for or the transformer is larger than half of the memory.
  static func readAhead(for model: ModelFolder, offloads: Bool) throws -> WeightReadAhead? {
    let bytes = try model.transformerCheckpoint().byteCount
    let streams = offloads || bytes > Int(clamping: ProcessInfo.processInfo.physicalMemory) / 2
    return streams ? WeightReadAhead(windowBytes: Self.windowBytes) : nil
  }
}
