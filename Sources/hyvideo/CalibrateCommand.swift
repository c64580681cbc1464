import ArgumentParser
import Foundation
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorOps

struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate", abstract: "Fits the step caches to a checkpoint, a size and a schedule.",
    discussion: """
      Makes a few videos in full and with every cache rule, fits TeaCache's polynomial and MagCache's ratios, and measures what \
      each rule saves and costs. hyvideo generate finds the result by itself.
      Example: hyvideo calibrate --infer-steps 50 --plot curves.png
      """)

  @OptionGroup(title: "Checkpoint") var checkpoint: CheckpointOptions
  @Option(
    parsing: .upToNextOption, help: ArgumentHelp("Height and width. Default: the checkpoint's.", valueName: "pixels"))
  var videoSize: [Int] = []
  @Option(help: "Frames, 4n+1. Default: the checkpoint's.") var videoLength: Int?
  @Option(help: "Denoising steps. Default: the checkpoint's.") var inferSteps: Int?
  @Option(help: "Default: the checkpoint's.") var flowShift: Float?
  @Option(help: "The guidance scale that the distilled network takes. Default: the checkpoint's.")
  var embeddedCfgScale: Float?
  @Option(
    help: """
      True guidance: above 1 each step also runs on the negative prompt, and each of the two passes has its own fit. \
      Default: the checkpoint's.
      """)
  var cfgScale: Float?
  @Option(help: "What the videos must not show; used with --cfg-scale above 1. Default: the checkpoint's.")
  var negPrompt: String?
  @Option(help: ArgumentHelp("Prompts, one per line. Default: four of the demo's kind.", valueName: "file"))
  var promptFile: String?
  @Option(help: "Seed of the noise.", transform: Seed.number) var seed: UInt64 = 0
  @OptionGroup(title: "Device") var device: DeviceOptions
  @Flag(help: "Only fit; measure no rule, so that --fidelity-budget has nothing to choose from.") var signalsOnly =
    false
  @Option(help: ArgumentHelp("Where to write. Default: the user's cache folder.", valueName: "file.json"))
  var output: String?
  @Option(help: ArgumentHelp("Draw PSNR over speed-up for each rule.", valueName: "file.png")) var plot: String?

  private static let prompts = [
    "A red ball moves from left to right on a black background.", "A blue square rises upwards over a gray background.",
    "A yellow ring grows bigger on a dark blue background.",
    "A purple triangle slides to the left over a light background.",
  ]

  /// The parameters that are tried.
  private static let grid: [(method: String, options: [String: String])] =
    ["0.05", "0.1", "0.15", "0.25"].map { ("teacache", ["rel_l1_thresh": $0]) }
    + ["0.03", "0.05", "0.1", "0.2"].map { ("fbcache", ["rel_l1_thresh": $0]) }
    + ["2", "3", "4", "5", "6"].map { ("taylorseer", ["skip_interval_steps": $0, "scope": "velocity"]) }
    + ["0.01", "0.025", "0.05", "0.1"].map { ("easycache", ["thresh": $0]) }
    + ["0.06", "0.12", "0.24", "0.4"].map { ("magcache", ["thresh": $0, "K": "6"]) }

  func run() throws {
    let (model, device, prompts, request, digest, path) = try RefusedBeforeWork.checking { try checked() }
    let observer = CalibrationObserver()
    let readAhead = try RunOptions.readAhead(for: model, offloads: false)
    let pipeline = VideoPipeline(
      model, in: device.backends(streamsWeights: readAhead != nil).contexts(), readAhead: readAhead,
      keepsNetworks: !device.hasOwnMemory, observer: observer)
    let requests = prompts.map { prompt in
      var next = request
      next.prompt = prompt
      return next
    }
    try RefusedBeforeWork.checking { try pipeline.verify(requests) }
    let texts = try pipeline.encode(requests)

    // 1. Every step computed: what the rules look at, and what they are measured against.
    var signals: [GuidanceBranch: [CalibrationSignals]] = [:]
    for (index, request) in requests.enumerated() {
      _ = try pipeline.denoise(request, texts: texts[index]) { branch in
        let run = CalibrationSignals()
        signals[branch, default: []].append(run)
        return run
      }
    }
    var calibration = StepCacheCalibration(
      provenance: .init(request: request, version: ProgramVersion.current, checkpointSHA256: digest, prompts: prompts),
      positive: StepCacheFit(signals[.positive] ?? []), negative: signals[.negative].map(StepCacheFit.init))

    // 2. Every rule against it.
    if !signalsOnly {
      func made(_ index: Int, _ settings: StepCacheSettings) throws -> FidelityMeasurement.Run {
        var request = requests[index]
        request.cache = settings
        observer.begin()
        let frames = FrameCollector()
        let latents = try pipeline.denoise(request, texts: texts[index])
        try pipeline.decode(latents, tiling: true, into: frames)
        return FidelityMeasurement.Run(latents: [], video: frames.video, steps: observer.steps)
      }
      let full = try requests.indices.map { try made($0, .none) }
      try Console.written("rule, computed of \(request.steps) steps, speed-up, PSNR worst and median, SSIM median")
      for (method, options) in Self.grid {
        let settings = try StepCacheSettings(
          method: method, options: options, fitted: calibration.fitted)
        let measured = try requests.indices.compactMap {
          try FidelityMeasurement(cached: made($0, settings), dense: full[$0])
        }
        let point = StepCacheCalibration.Point(
          method: method, options: options,
          stepsComputed: measured.reduce(0) { $0 + $1.shareComputed * Double($1.steps) } / Double(measured.count),
          speedup: measured.reduce(0) { $0 + $1.speedupOfMedians } / Double(measured.count),
          psnr: measured.map(\.psnrDB), ssim: measured.map(\.ssim))
        calibration.points.append(point)
        try Console.written(point.line)
      }
    }
    try calibration.write(to: path)
    if let plot { try calibration.plot.write(to: plot) }
    try Console.written(path: path)
  }

  private func checked() throws -> (ModelFolder, any ComputeDevice, [String], GenerationRequest, String, String) {
    let model = try ModelFolder(checkpoint.model ?? DemoModel.locate(), parts: checkpoint.parts)
    let prompts = try promptFile.map { try GeneratePlan.prompts(inFile: $0) } ?? Self.prompts
    var request = GenerationRequest(prompt: prompts[0], seed: seed, defaults: model.defaults)
    guard [0, 2].contains(videoSize.count) else {
      throw RequestError(
        "invalid size", at: "--video-size", expected: "height and width", found: "\(videoSize.count) numbers",
        remedy: "for example --video-size 720 1280")
    }
    if videoSize.count == 2 { (request.height, request.width) = (videoSize[0], videoSize[1]) }
    request.frames = videoLength ?? request.frames
    request.steps = inferSteps ?? request.steps
    request.flowShift = flowShift ?? request.flowShift
    request.embeddedGuidance = embeddedCfgScale ?? request.embeddedGuidance
    request.cfgScale = cfgScale ?? request.cfgScale
    request.negativePrompt = negPrompt ?? request.negativePrompt
    try request.validate()
    try model.requireConceivable(request)
    if let plot { try Plot.checkOutput(plot) }
    let opened = try device.open(RankSession.alone)
    opened.tellWarnings(RankSession.alone)
    let digest = try GeneratePlan.digest(of: model)
    let path = output ?? CalibrationFolder.path(request, checkpointSHA256: digest)
    // All is measured before it is written: what cannot be written is refused before.
    try OutputPlan.requireReplaceable(path, flag: "--output")
    if let plot { try OutputPlan.requireReplaceable(plot, flag: "--plot") }
    let files = [path] + (plot.map { [$0] } ?? [])
    try OutputPlan.requireDistinct(files)
    for file in files { try OutputPlan.claim(file) }
    return (model, opened, prompts, request, digest, path)
  }
}

/// Keeps the steps of the run under way.
private final class CalibrationObserver: GenerationObserver {
  private(set) var steps: [StepRecord] = []

  func begin() { steps.removeAll() }

  func stepDidEnd(_ record: StepRecord) { steps.append(record) }
}

/// Where calibrations are kept: `hyvideo/calibrations` of the user's cache folder.
enum CalibrationFolder {
  static func path(_ request: GenerationRequest, checkpointSHA256: String) -> String {
    let environment = ProcessInfo.processInfo.environment
    let caches = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? NSHomeDirectory() + "/.cache"
    return caches + "/hyvideo/calibrations/"
      + StepCacheCalibration.fileName(request, checkpointSHA256: checkpointSHA256)
  }
}

extension StepCacheCalibration.Point {
  /// The rule with its options in one line.
  var name: String {
    ([method] + options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }).joined(separator: " ")
  }

  var line: String {
    String(
      format: "%@: %.1f, %.2f, %.1f dB and %.1f dB, %.4f", name, stepsComputed, speedup, lowestPSNR, medianPSNR, ssim)
  }
}

extension StepCacheCalibration {
  /// PSNR over the steps that are saved, a curve for each rule.
  fileprivate var plot: Plot {
    let methods = Set(points.map(\.method)).sorted()
    return Plot(
      horizontal: "STEPS OF ALL / STEPS COMPUTED",
      panels: [
        Plot.Panel(
          title: "MEDIAN PSNR DB",
          curves: methods.map { method in
            Plot.Curve(
              name: method,
              points: points.filter { $0.method == method }.map {
                (Double(provenance.steps) / max(1, $0.stepsComputed), $0.medianPSNR)
              })
          })
      ])
  }
}
