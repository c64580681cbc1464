import Collectives
import Foundation
import Generation
import TensorCore

/// What a rank says of a run, for the report.
struct RankReport: Codable {
  let host: String
  let threads: Int
  /// Sent to other ranks for this video.
  let bytesSent: Int
  /// From the start of each transfer to its end, added up.
  let communicationSeconds: Double
  /// The part of it for which the rank waited.
  let exposedCommunicationSeconds: Double
  let peakRSSBytes: Int

  enum CodingKeys: String, CodingKey {
    case host, threads
    case bytesSent = "bytes_sent"
    case communicationSeconds = "communication_seconds"
    case exposedCommunicationSeconds = "exposed_communication_seconds"
    case peakRSSBytes = "peak_rss_bytes"
  }
}

extension GeneratePlan {
  /// What every rank has sent since a video began.
  func communication(since start: CommunicationStatistics, peakRSSBytes: Int) throws -> [RankReport] {
    let statistics = group.statistics.since(start)
    let mine = RankReport(
      host: ProcessInfo.processInfo.hostName, threads: threads, bytesSent: statistics.bytesSent,
      communicationSeconds: statistics.seconds, exposedCommunicationSeconds: statistics.exposedSeconds,
      peakRSSBytes: peakRSSBytes)
    if group.size == 1 { return [mine] }
    return try group.allGather([UInt8](JSONEncoder().encode(mine))).map {
      try JSONDecoder().decode(RankReport.self, from: Data($0))
    }
  }

  /// Decodes latents; the first rank's sink is given the frames.
  func decode(_ latents: Tensor, _ job: GenerateJob, _ pipeline: VideoPipeline, into sink: any FrameSink) throws {
    try pipeline.decode(latents, tiling: job.request.vaeTiling, sharesTiles: sharing.sharesTiles, into: sink)
  }
}
