import ArgumentParser
import Foundation
import Generation
import VideoIO

struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare", abstract: "Measures how close two videos are.",
    discussion: """
      Takes video files, folders of PNG frames, or safetensors with frames (key video) or latents (keys latents, step_000, …). \
      Prints PSNR and SSIM (Gaussian window of 11 x 11, sigma 1.5; mean of the colour channels) of frames, the relative \
      difference of latents. Equal frames count as 100 dB.
      Example: hyvideo compare cached.mp4 full.mp4 --json
      """)

  @Argument(help: "A video.") var first: String
  @Argument(help: "The video that it is measured against.") var second: String
  @Flag(help: "Print one JSON object.") var json = false
  @Option(
    help: ArgumentHelp("Draw PSNR and SSIM per frame, or the latents' difference per step.", valueName: "file.png"))
  var plot: String?

  func run() throws {
    if let plot {
      try Plot.checkOutput(plot)
      try RefusedBeforeWork.checking { try OutputPlan.claim(plot) }
    }
    let result = try RefusedBeforeWork.checking {
      try ComparisonInput.compare(ComparisonInput(first), ComparisonInput(second))
    }
    if let plot { try result.plot.write(to: plot) }
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
      encoder.nonConformingFloatEncodingStrategy = .convertToString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
      try Console.result(json: String(decoding: encoder.encode(result), as: UTF8.self))
    } else {
      try Console.result(result.text)
    }
  }
}

/// What two videos or runs have in common.
struct ComparisonResult: Encodable {
  /// Of frames.
  var psnrDB: Double?
  var ssim: Double?
  var frames: Int?
  var perFrame: [VideoComparison.Frame]?
  /// Of latents: `‖a − b‖ / ‖b‖` of the last, and after each step where both hold them.
  var relativeLatentDifference: Double?
  var perStep: [Double]?

  enum CodingKeys: String, CodingKey {
    case ssim, frames
    case psnrDB = "psnr_db"
    case perFrame = "per_frame"
    case relativeLatentDifference = "relative_latent_difference"
    case perStep = "relative_latent_difference_per_step"
  }

  var text: String {
    if let psnrDB, let ssim, let perFrame {
      let lines = perFrame.enumerated().map {
        String(format: "frame %d: PSNR %.2f dB, SSIM %.4f", $0, $1.psnrDB, $1.ssim)
      }
      let overall = String(format: "PSNR %.2f dB, SSIM %.4f over %d frames", psnrDB, ssim, perFrame.count)
      return (lines + [overall]).joined(separator: "\n")
    }
    let lines = (perStep ?? []).enumerated().map { String(format: "step %d: %.3e", $0, $1) }
    let overall = String(format: "relative difference of the latents %.3e", relativeLatentDifference ?? 0)
    return (lines + [overall]).joined(separator: "\n")
  }

  var plot: Plot {
    if let perFrame {
      return Plot(
        horizontal: "FRAME",
        panels: [
          Plot.Panel(title: "PSNR DB", curves: [Plot.Curve(perFrame.map(\.psnrDB))]),
          Plot.Panel(title: "SSIM", curves: [Plot.Curve(perFrame.map(\.ssim))]),
        ])
    }
    return Plot(
      horizontal: "STEP",
      panels: [
        Plot.Panel(
          title: "RELATIVE DIFFERENCE OF LATENTS", curves: [Plot.Curve(perStep ?? [relativeLatentDifference ?? 0])])
      ])
  }
}
