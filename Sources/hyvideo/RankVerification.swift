import Checkpoints
import Foundation
import Generation
import TensorCore

/// What a run has made, to be compared with another.
struct VerifiedRun {
  /// The initial noise, then the latents after each step.
  let latents: [Tensor]
  /// Nil on ranks that have no frames.
  let video: Tensor?
  /// Of all steps.
  let seconds: Double

  /// The SHA-256 of the last latents.
  var digest: String {
    guard let last = latents.last else { return "" }
    return CheckpointDigest.sha256(of: UnsafeRawBufferPointer(start: last.hostPointer, count: last.byteCount))
  }
}

/// How far the video of several ranks is from that of one.
struct RankVerification: Encodable {
  struct Step: Encodable {
    let step: Int
    /// `‖ranks − one‖ / ‖one‖`
    let relativeDifference: Double
    /// Of any value.
    let largestDifference: Double
  }

  let ranks: Int
  let ulyssesDegree: Int
  let ringDegree: Int
  let cfgParallel: Bool
  let steps: [Step]
  /// The largest of all steps.
  let maxRelativeDifference: Double
  let videoRelativeDifference: Double
  /// Whether all ranks have the same latents to the last bit.
  let ranksAreIdentical: Bool
  let tolerance: Double
  let agrees: Bool
  let denoiseSecondsOneRank: Double
  let denoiseSeconds: Double

  init(
    expected: VerifiedRun, found: VerifiedRun, sharing: RankSharing, ranks: Int, ranksAgree: Bool, tolerance: Double
  ) throws {
    self.ranks = ranks
    (ulyssesDegree, ringDegree) = (sharing.layout.ulysses, sharing.layout.ring)
    cfgParallel = sharing.splitsGuidance
    steps = zip(found.latents, expected.latents).enumerated().map { step, pair in
      let difference = zip(pair.0.floats(), pair.1.floats()).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      return Step(
        step: step, relativeDifference: relativeDifference(pair.0, pair.1), largestDifference: Double(difference))
    }
    // A number that is none is no agreement.
    maxRelativeDifference = steps.reduce(0) { $1.relativeDifference <= $0 ? $0 : $1.relativeDifference }
    if let video = found.video, let reference = expected.video {
      videoRelativeDifference = relativeDifference(video, reference)
    } else {
      videoRelativeDifference = .infinity
    }
    ranksAreIdentical = ranksAgree
    self.tolerance = tolerance
    agrees =
      ranksAgree && found.latents.count == expected.latents.count && maxRelativeDifference <= tolerance
      && videoRelativeDifference <= 10 * tolerance
    (denoiseSecondsOneRank, denoiseSeconds) = (expected.seconds, found.seconds)
  }

  /// The steps, and the verdict.
  var table: String {
    var lines = ["step  relative difference  largest difference"]
    for step in steps {
      lines.append(String(format: "%4d  %19.2e  %18.2e", step.step, step.relativeDifference, step.largestDifference))
    }
    lines.append(String(format: "video %19.2e", videoRelativeDifference))
    lines.append(verdict)
    return lines.joined(separator: "\n")
  }

  /// The layout in one line.
  var verdict: String {
    String(
      format: "%@: %d ranks (Ulysses %d x ring %d) and one differ by %.2e at most, %.0e is allowed; %.2f s for %.2f s",
      agrees ? "agrees" : "DIFFERS", ranks, ulyssesDegree, ringDegree, maxRelativeDifference, tolerance,
      denoiseSeconds, denoiseSecondsOneRank)
  }

  /// What differs; nil where nothing does.
  var failure: Failure? {
    if agrees { return nil }
    let place: String
    var found = "\(videoRelativeDifference)"
    if !ranksAreIdentical {
      place = "the latents of the ranks: expected the same bits on all"
      found = "different ones"
    } else if let step = steps.first(where: { !($0.relativeDifference <= tolerance) }) {
      place = "step \(step.step): expected a relative difference of at most \(tolerance)"
      found = "\(step.relativeDifference)"
    } else {
      place = "the video: expected a relative difference of at most \(10 * tolerance)"
    }
    return Failure(
      message:
        "\(ranks) ranks (Ulysses \(ulyssesDegree) x ring \(ringDegree)) and one rank differ: \(place), found \(found); please report it with the command line",
      status: 1)
  }
}
