import ArgumentParser
import CPUBackend
import Foundation
import Generation
import HunyuanVideo

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Says what a run needs, and whether it fits, before it starts.",
    discussion: """
      Example: hyvideo plan --model ckpts --video-size 720 1280 --video-length 129 --ranks 8
      Takes the flags of generate and runs the same networks without their numbers: memory of each stage on the busiest rank, \
      bytes read and sent, operations, and time from operations timed on this machine (kept for the next plan). Ends with 64 \
      where the run does not fit.
      """)

  @Flag(help: "Print one JSON object.") var json = false
  @Flag(help: "Time the operations again instead of taking the times that are kept.") var recalibrate = false
  @OptionGroup var generate: GenerateCommand

  /// For a plan without a prompt: about as long as prompts are.
  private static let typicalPrompt = "A cat walks on the grass, realistic style."

  func run() throws {
    let (report, fits) = try RefusedBeforeWork.checking { try planned() }
    try Console.result(json ? report.json() : ForecastTable(report: report).text)
    if !fits { throw ExitCode(64) }
  }

  private func planned() throws -> (report: ForecastReport, fits: Bool) {
    var command = generate
    try command.fillFromConfiguration()
    if let saved = try command.running.resume.map(SavedRun.init(contentsOf:)) {
      ResumedFlags.fill(&command, from: saved, ranks: command.ranks.ranks ?? 1)
    }
    if command.prompt.prompt == nil && command.prompt.promptFile == nil { command.prompt.prompt = Self.typicalPrompt }
    let run = try PlannedRun(command)
    let plan = try run.forecaster.plan(run.requests)
    var proposal: String?
    if !run.forecaster.fits(plan) {
      proposal = try run.forecaster.proposal(for: run.requests, heads: run.heads)
        .map { ProposedCommand($0, insteadOf: run.requests[0]).description }
    }
    let forecast = try run.forecaster.forecast(plan, run.requests, recalibrates: recalibrate) { _ in
      // What does not fit is not worth the wait.
      proposal == nil || recalibrate ? 10 : 0
    }
    let report = ForecastReport(
      forecast, request: run.requests[0], layoutReason: run.layoutReason, threads: run.device.threads,
      proposal: proposal)
    return (report, forecast.fits)
  }
}

/// What `generate` would be given, without looking at where output goes, and with ranks that have not been started.
struct PlannedRun {
  let requests: [GenerationRequest]
  let device: any ComputeDevice
  let forecaster: Forecaster
  let layoutReason: String?
  let heads: Int

  init(_ command: GenerateCommand) throws {
    let model = try ModelFolder(command.checkpoint.model ?? DemoModel.locate(), parts: command.checkpoint.parts)
    var (requests, _) = try GeneratePlan.requests(command, model: model, seed: 0)
    try command.ranks.requireCount()
    let ranks = command.ranks.ranks ?? 1
    heads = try model.transformerNetwork().transformerConfiguration().headCount
    let sharing = try command.ranks.requireSharing(among: ranks, usesGuidance: requests[0].usesGuidance)
    let asked = try command.ranks.layout(of: sharing)
    let automatic = RankLayout.automatic(ranks: sharing, ranksPerHost: sharing, heads: heads)
    layoutReason = asked == nil ? automatic.reason : nil
    let cores = AvailableCores.count
    device = try command.device.open(RankSession.alone, threads: max(cores / ranks, 1))
    if command.cache.isUsed {
      let digest = try GeneratePlan.digest(of: model)
      let cache = try command.cache.resolved(for: requests[0], checkpointSHA256: digest)
      for index in requests.indices { requests[index].cache = cache.settings }
    }
    self.requests = requests
    var setting = PlanSetting()
    setting.layout = asked ?? automatic.layout
    setting.splitsGuidance = command.ranks.cfgParallel
    setting.sharesTiles = command.ranks.useVaeParallel ?? (ranks > 1)
    setting.keepsFrames = command.keepsFrames
    setting.previewInterval = command.running.preview
    setting.comparesWithoutCache = command.cache.measureFidelity
    forecaster = try Forecaster(
      model, device: device, setting: setting,
      limit: MemoryLimit(command.memory.memoryLimit, processesOnHost: ranks),
      offloads: command.running.offloads(model),
      crowding: HostCrowding(ranks: ranks, threads: device.threads, cores: cores))
  }
}
