import Checkpoints
import Foundation
import Generation
import TensorCore
import VideoIO

/// The programs and the machine that made a video, for its report.
struct ReportEnvironment: Encodable {
  let system: String
  let processor: String?
  let cores: Int
  let memoryBytes: UInt64
  let oneDNN: String?
  let cann: String?
  /// Of an NPU.
  let chip: String?
  let ffmpeg: String?

  enum CodingKeys: String, CodingKey {
    case system, processor, cores, ffmpeg, cann, chip
    case memoryBytes = "memory_bytes"
    case oneDNN = "onednn"
  }

  init(_ plan: GeneratePlan) {
    var name = utsname()
    uname(&name)
    func text(_ field: some Any) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    system = "\(text(name.sysname)) \(text(name.release)) \(text(name.machine))"
    processor = ProcessorName.current
    cores = ProcessInfo.processInfo.processorCount
    memoryBytes = ProcessInfo.processInfo.physicalMemory
    let components = plan.device.components
    (oneDNN, cann, chip) = (components["onednn"], components["cann"], components["chip"])
    ffmpeg = plan.ffmpeg.flatMap { try? $0.version() }
  }
}

extension GenerationReport {
  /// The command line, with the seed where it was drawn.
  static func command(_ job: GenerateJob, plan: GeneratePlan) -> [String] {
    let words = ["hyvideo"] + CommandLine.arguments.dropFirst()
    let hasSeed = words.contains { $0 == "--seed" || $0.hasPrefix("--seed=") || $0 == "--resume" }
    return hasSeed || plan.jobs.count > 1 ? words : words + ["--seed", "\(job.request.seed)"]
  }
}

extension Tensor {
  /// Of the elements as they lie in host memory.
  var sha256: String { CheckpointDigest.sha256(of: UnsafeRawBufferPointer(start: hostPointer, count: byteCount)) }
}
