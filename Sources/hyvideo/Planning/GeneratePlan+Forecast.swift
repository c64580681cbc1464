import Collectives
import Generation
import HunyuanVideo

extension GeneratePlan {
  /// Plans the run: chooses whether weights stay in memory, says what it will need, and refuses what cannot fit.
  mutating func foresee(_ command: GenerateCommand, session: RankSession) throws {
    let requests = jobs.map(\.request)
    var setting = PlanSetting()
    setting.layout = sharing.layout
    setting.splitsGuidance = sharing.splitsGuidance
    setting.sharesTiles = sharing.sharesTiles
    setting.keepsFrames = command.keepsFrames
    setting.stepsDone = resumed?.run.state.step ?? 0
    setting.previewInterval = previewInterval
    setting.comparesWithoutCache = command.cache.measureFidelity
    let planning: DevicePlanning
    do { planning = try device.planning() } catch let error as PlanningUnavailable {
      // What is on a card runs without.
      warnings.append("not planned: \(error)")
      if command.running.useCpuOffload { readAhead = WeightReadAhead(windowBytes: Forecaster.windows[0]) }
      return
    }
    let limit = MemoryLimit(
      command.memory, processesOnHost: session.hosts.ranksPerHost, for: planning)
    let offloads = try planning.memory == nil ? command.running.offloads(model) : command.running.useCpuOffload
    let crowding = session.hosts.crowding(of: session.group.rank, threads: threads)
    let forecaster = try Forecaster(
      model, planning: planning, setting: setting, limit: limit, offloads: offloads, crowding: crowding,
      goesOn: resumed != nil)
    func heads() throws -> Int { try model.transformerNetwork().transformerConfiguration().headCount }
    func require(_ plan: RunPlan) throws {
      if forecaster.fits(plan) || command.memory.force { return }
      throw try forecaster.refusal(plan, requests, heads: heads())
    }
    let plan = try Patience.saying(session.isFirst && progress == .auto ? PlannedRun.word(requests[0]) : nil) {
      if !command.memory.force { try forecaster.requireConceivable(requests, heads: heads()) }
      let plan = try forecaster.plan(requests)
      try require(plan)
      return plan
    }
    if let window = plan.setting.windowBytes {
      readAhead = WeightReadAhead(windowBytes: window)
      let place = planning.memory == nil ? "on disk" : "with the host"
      if !offloads { notes.append("weights stay \(place), \(ByteCount.text(window)) of them are read ahead") }
    }
    // Long runs are worth a second of timing, by the rank that says it: times taken by all at once are not those of one.
    let forecast = try forecaster.forecast(plan, requests) { session.isFirst ? min(0.02 * $0, 2) : 0 }
    // Timing has made the program larger.
    try require(forecast.plan)
    notes.append(forecast.line)
    if let warning = forecast.crowding.warning { warnings.append(warning) }
    self.forecast = forecast
  }
}

extension Forecast {
  /// What a full step takes, where that was timed.
  var trustedStepSeconds: Double? { guessedShare < 0.3 ? stepSeconds : nil }
}
