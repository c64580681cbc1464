import ArgumentParser
import CPUBackend
import Foundation
import Generation
import HunyuanVideo
import Layers

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Says what a run needs, and whether it fits, before it starts.",
    usage: "hyvideo plan [<options>]",
    discussion: """
      Example: hyvideo plan --model ckpts --video-size 720 1280 --video-length 129 --ranks 8
      Takes the flags of generate and runs the same networks without their numbers: memory of each stage on the busiest rank, \
      bytes read and sent, operations, and time from operations timed on this machine (kept for the next plan). With --device ascend \
      it says the same of runs on NPUs, which need not be here, and time by a roofline; the host's memory is then checked against \
      --memory-limit alone. Ends with 64 where the run does not fit.
      """)

  @Flag(help: "Print one JSON object.") var json = false
  @Flag(help: "Time the operations again instead of taking the times that are kept.") var recalibrate = false
  @OptionGroup var generate: GenerateCommand

  /// For a plan without a prompt: about as long as prompts are.
  private static let typicalPrompt = "A cat walks on the grass, realistic style."

  func run() throws { try Self.report(on: generate, asJSON: json, recalibrates: recalibrate) }

  /// Plans a command and prints what it needs.
  /// - Throws: `ExitCode` 64 where it does not fit.
  static func report(on command: GenerateCommand, asJSON: Bool, recalibrates: Bool) throws {
    let (report, fits) = try RefusedBeforeWork.checking { try planned(command, recalibrates: recalibrates) }
    try asJSON ? Console.result(json: report.json()) : Console.result(ForecastTable(report: report).text)
    if !fits { throw ExitCode(64) }
  }

  private static func planned(
    _ generate: GenerateCommand, recalibrates: Bool
  ) throws -> (report: ForecastReport, fits: Bool) {
    var command = generate
    try command.fillFromConfiguration()
    let saved = try command.running.resume.map { try WrittenFile.run.reading($0, SavedRun.init(contentsOf:)) }
    if let saved {
      command.ranks.ranks = command.ranks.ranks ?? ResumedFlags.ranks(of: saved)
      ResumedFlags.fill(&command, from: saved, ranks: command.ranks.ranks ?? 1)
    }
    if command.prompt.prompt == nil && command.prompt.promptFile == nil { command.prompt.prompt = typicalPrompt }
    let run = try PlannedRun(command, resuming: saved)
    for warning in run.planning.warnings { Console.error("warning: \(warning)\n") }
    let (plan, proposal) = try Patience.saying(PlannedRun.word(run.requests[0])) {
      if !command.memory.force { try run.forecaster.requireConceivable(run.requests, heads: run.heads) }
      let plan = try run.forecaster.plan(run.requests)
      let proposal =
        run.forecaster.fits(plan) ? nil : try run.forecaster.proposal(for: run.requests, heads: run.heads)
      return (plan, proposal.map { ProposedCommand($0, insteadOf: run.requests[0]).description })
    }
    // What does not fit is not worth the wait.
    let budget = proposal == nil || recalibrates ? 10.0 : 0
    let showsWait = budget > 0 && run.planning.memory == nil && Console.hasTerminal
    let forecast = try run.forecaster.forecast(plan, run.requests, recalibrates: recalibrates) { _ in
      if showsWait { Console.draw("\u{1B}[2K\rtiming operations, for \(Int(budget)) s at most") }
      return budget
    }
    if showsWait { Console.draw("\u{1B}[2K\r") }
    if let warning = forecast.limit.warning { Console.error("warning: \(warning)\n") }
    let report = ForecastReport(
      forecast, request: run.requests[0], layoutReason: run.layoutReason, threads: run.planning.threads,
      proposal: proposal)
    return (report, forecast.fits)
  }
}

/// What `generate` would be given, without looking at where output goes, and with ranks that have not been started.
struct PlannedRun {
  let requests: [GenerationRequest]
  let planning: DevicePlanning
  let forecaster: Forecaster
  let layoutReason: String?
  let heads: Int

  /// What to say while a plan takes its time.
  static func word(_ request: GenerationRequest) -> String {
    let size = VideoSize.text(frames: request.frames, height: request.roundedHeight, width: request.roundedWidth)
    return "planning \(size); so large a video takes a while"
  }

  init(_ command: GenerateCommand, resuming saved: SavedRun? = nil) throws {
    let model = try ModelFolder(command.checkpoint.model ?? DemoModel.locate(), parts: command.checkpoint.parts)
    var (requests, _) = try GeneratePlan.requests(command, model: model, seed: 0)
    _ = try GenerateSettings(command, requests: requests, model: model)
    if requests.contains(where: { $0.initialNoise != nil }) {
      try VideoPipeline(model, in: ForwardContext(backend: CPUBackend()), observer: QuietObserver()).verify(requests)
    }
    try command.ranks.requireCount()
    let ranks = command.ranks.ranks ?? 1
    heads = try model.transformerNetwork().transformerConfiguration().headCount
    let sharing = try command.ranks.requireSharing(among: ranks, usesGuidance: requests[0].usesGuidance)
    let asked = try command.ranks.layout(of: sharing)
    let cores = AvailableCores.count
    planning = try command.device.planning(threads: max(cores / ranks, 1), ranks: ranks)
    let automatic = RankLayout.automatic(
      ranks: sharing, ranksPerHost: planning.ranksPerHost(of: sharing), heads: heads)
    layoutReason = asked == nil ? automatic.reason : nil
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
    setting.stepsDone = saved?.state.step ?? 0
    setting.previewInterval = command.running.preview
    setting.comparesWithoutCache = command.cache.measureFidelity
    forecaster = try Forecaster(
      model, planning: planning, setting: setting,
      limit: MemoryLimit(command.memory, processesOnHost: planning.cards?.count ?? ranks, for: planning),
      offloads: planning.memory == nil ? command.running.offloads(model) : command.running.useCpuOffload,
      crowding: HostCrowding(ranks: ranks, threads: planning.threads, cores: cores), goesOn: saved != nil)
  }
}
