import Foundation
import Generation
import TensorCore

/// What a step cache cost and saved, against the same video without it.
struct FidelityMeasurement: Encodable {
  let psnrDB: Double
  let ssim: Double
  /// `‖latents − dense‖ / ‖dense‖` after each step.
  let relativeLatentDifference: [Double]
  let stepsComputed: Int
  let steps: Int
  /// Of all passes; with true guidance a step has two, and each decides for itself.
  let shareComputed: Double
  let secondsDense: Double
  let secondsCached: Double
  let speedup: Double
  /// The same from the cached run alone, every step counted at the median of its kind: a machine that is busy now and then does
  /// not change it.
  let speedupOfMedians: Double

  enum CodingKeys: String, CodingKey {
    case ssim, steps, speedup
    case psnrDB = "psnr_db"
    case relativeLatentDifference = "relative_latent_difference"
    case stepsComputed = "steps_computed"
    case shareComputed = "share_computed"
    case secondsDense = "seconds_dense"
    case secondsCached = "seconds_cached"
    case speedupOfMedians = "speedup_of_medians"
  }

  /// A run to compare: the latents after each step, the frames, and how the steps went.
  struct Run {
    let latents: [Tensor]
    /// Nil on ranks that have no frames.
    let video: Tensor?
    let steps: [StepRecord]

    var seconds: Double { steps.reduce(0) { $0 + $1.seconds } }
  }

  /// Nil where there are no frames.
  init?(cached: Run, dense: Run) throws {
    guard let cachedVideo = cached.video, let denseVideo = dense.video else { return nil }
    let comparison = try VideoComparison(cachedVideo, denseVideo)
    psnrDB = comparison.psnrDB
    ssim = comparison.ssim
    relativeLatentDifference = zip(cached.latents, dense.latents).dropFirst().map { relativeDifference($0, $1) }
    stepsComputed = cached.steps.count { !$0.skipped }
    steps = cached.steps.count
    secondsDense = dense.seconds
    secondsCached = cached.seconds
    speedup = secondsDense / secondsCached
    let passes = cached.steps.reduce(0) { $0 + $1.passes }
    shareComputed = Double(cached.steps.reduce(0) { $0 + $1.passesComputed }) / Double(max(1, passes))
    let kinds = Dictionary(grouping: cached.steps, by: \.passesComputed).mapValues { $0.map(\.seconds) }
    let full = Self.median(kinds.max { $0.key < $1.key }?.value ?? [])
    speedupOfMedians =
      Double(steps) * full / kinds.values.reduce(0) { $0 + Double($1.count) * Self.median($1) }
  }

  private static func median(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.sorted()[values.count / 2]
  }

  /// One line for the terminal.
  var summary: String {
    String(
      format: "cache: %d of %d steps computed, %.2f times the speed (%.2f s for %.2f s), PSNR %.2f dB, SSIM %.4f",
      stepsComputed, steps, speedup, secondsCached, secondsDense, psnrDB, ssim)
  }
}
