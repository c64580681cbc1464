import Checkpoints
import Foundation
import Generation
import TensorCore
import TensorOps

/// Plans a run, chooses between weights in memory and on disk, and looks for what fits where it does not.
final class Forecaster {
  private let planning: DevicePlanning
  private let planner: RunPlanner
  let limit: MemoryLimit
  /// Whether weights are read ahead whatever the memory.
  private let offloads: Bool
  private let setting: PlanSetting
  private let crowding: HostCrowding
  /// Whether the run goes on with a saved one: what defines it cannot change.
  let goesOn: Bool

  /// Weights read ahead of their use: about a block of the 13 B network in bfloat16, less where memory is short.
  static let windows = [512 << 20, 256 << 20, 128 << 20, 64 << 20, 32 << 20, 16 << 20]

  /// - Parameters:
  ///   - setting: the layout of ranks and what stays in memory; the window is chosen here.
  ///   - crowding: how the ranks of a host share its cores.
  ///   - goesOn: whether the run goes on with a saved one.
  init(
    _ model: ModelFolder, planning: DevicePlanning, setting: PlanSetting, limit: MemoryLimit, offloads: Bool,
    crowding: HostCrowding, goesOn: Bool
  ) throws {
    self.goesOn = goesOn
    (self.planning, self.setting, self.limit, self.offloads) = (planning, setting, limit, offloads)
    // What computes on a card of its own takes no turns.
    self.crowding = planning.memory == nil ? crowding : HostCrowding(ranks: 1, threads: 1, cores: 1)
    planner = try RunPlanner(model, on: planning.makeBackends)
    try planning.loadCode()
    // A run that fits hashes its files and what it saves.
    _ = [UInt8](repeating: 0, count: 1 << 16).withUnsafeBytes { CheckpointDigest.sha256(of: $0) }
    HostBufferPool.shared.trim()
    planner.programBytes = ProcessMemory.residentBytes()
  }

  // MARK: Memory

  /// The plan with all weights in memory where that fits, else with a window of them, the largest that fits.
  func plan(_ requests: [GenerationRequest], ranks layout: RankLayout? = nil) throws -> RunPlan {
    var setting = setting
    if let layout { setting.layout = layout }
    let holdsWeights = planning.memory != nil || planner.transformerBytes < limit.host.bytes
    if !offloads && holdsWeights {
      let resident = try planner.plan(requests, setting: setting)
      if fits(resident) { return resident }
    }
    // With the smallest window or not at all.
    let smallest = try planner.plan(requests, setting: leanest(layout))
    guard fits(smallest) else { return smallest }
    for window in Self.windows.dropLast() {
      setting.windowBytes = window
      let plan = try planner.plan(requests, setting: setting)
      if fits(plan) { return plan }
    }
    return smallest
  }

  /// The setting that needs least memory, whatever its time.
  private func leanest(_ layout: RankLayout?) -> PlanSetting {
    var setting = setting
    if let layout { setting.layout = layout }
    setting.windowBytes = Self.windows.last
    return setting
  }

  func fits(_ plan: RunPlan) -> Bool { limit.allows(plan) }

  /// What the run holds on the host at the very least, and in which stage. Nil where a plan is made quickly and says more.
  func least(of request: GenerationRequest) -> (bytes: Int, stage: GenerationStage)? {
    planner.tileCount(request) > 2000 ? planner.least(of: request, setting: setting) : nil
  }

  /// What a proposal leaves free: no two processes of this program have the same pages in memory.
  private static let spare = 4 << 20

  // MARK: Time

  /// What the plan comes to on this machine.
  /// - Parameter budget: seconds for timing operations that have not been, given a first estimate of the whole.
  func forecast(
    _ plan: RunPlan, _ requests: [GenerationRequest], recalibrates: Bool = false, budget: (Double) -> Double
  ) throws -> Forecast {
    var timing = planning.timing(recalibrates)
    func forecast(_ plan: RunPlan) -> Forecast {
      Forecast(
        plan, on: planning, limit: limit, timing: timing, loadSeconds: planner.loadSeconds, request: requests[0],
        videos: requests.count, crowding: crowding)
    }
    try timing.measure(plan.stages.map(\.work), forAtMost: budget(forecast(plan).seconds))
    HostBufferPool.shared.trim()
    // Timing leaves code and tables behind that the run finds there.
    let grown = max(0, ProcessMemory.residentBytes() - planner.programBytes)
    planner.programBytes += grown
    return forecast(plan.adding(programBytes: grown))
  }

  // MARK: What fits

  /// A change of a request.
  struct Proposal {
    var request: GenerationRequest
    var ranks: Int?
    var plan: RunPlan
  }

  /// The nearest setting that fits: tiling, then without a step cache, then fewer frames, then a smaller size or a picture, then
  /// more ranks. Nil where none does.
  func proposal(for requests: [GenerationRequest], heads: Int) throws -> Proposal? {
    let cache = requests[0].cache
    guard let found = try uncachedProposal(for: requests, heads: heads) else { return nil }
    if cache == .none || found.request.cache != .none { return found }
    // What was found without a step cache, in a few steps, may have room for it.
    var cached = requests
    for index in cached.indices {
      cached[index].cache = cache
      cached[index].vaeTiling = found.request.vaeTiling
      (cached[index].height, cached[index].width) = (found.request.height, found.request.width)
      cached[index].frames = found.request.frames
    }
    return try attempt(cached, ranks: found.ranks, heads: heads) ?? found
  }

  /// The plan of changed requests, in as little memory as they need, if it fits.
  private func attempt(_ requests: [GenerationRequest], ranks: Int?, heads: Int) throws -> Proposal? {
    let layout = ranks.map { count in
      let sharing = setting.splitsGuidance ? count / 2 : count
      return RankLayout.automatic(ranks: sharing, ranksPerHost: sharing, heads: heads).layout
    }
    var lean = leanest(layout)
    if requests[0].cache == .none { lean.comparesWithoutCache = false }
    let most = (host: limit.host.bytes, device: limit.device?.bytes ?? .max)
    guard let plan = try planner.plan(requests, setting: lean, within: most),
      fits(plan.adding(programBytes: Self.spare))
    else { return nil }
    return Proposal(request: requests[0], ranks: ranks, plan: plan)
  }

  private func uncachedProposal(for requests: [GenerationRequest], heads: Int) throws -> Proposal? {
    /// The proposal with a changed first request, if it fits.
    func attempt(_ ranks: Int? = nil, _ change: (inout GenerationRequest) -> Void) throws -> Proposal? {
      var changed = requests
      for index in changed.indices { change(&changed[index]) }
      return try self.attempt(changed, ranks: ranks, heads: heads)
    }
    let request = requests[0]
    func attemptMoreRanks() throws -> Proposal? {
      for ranks in [2, 4, 8, 16] where ranks > setting.ranks {
        if let found = try attempt(ranks, { ($0.vaeTiling, $0.cache) = (true, goesOn ? $0.cache : .none) }) {
          return found
        }
      }
      return nil
    }
    if !request.vaeTiling,
      let tiled = try attempt(nil, { ($0.vaeTiling, $0.cache) = (true, goesOn ? $0.cache : .none) })
    {
      return tiled
    }
    if goesOn { return try attemptMoreRanks() }
    if request.cache != .none,
      let without = try attempt(nil, { ($0.vaeTiling, $0.cache) = (true, .none) })
    {
      return without
    }
    // The most frames: a picture must fit for any number to.
    let fewer = try largest((request.frames - 1) / 4) { n in
      try attempt { ($0.vaeTiling, $0.frames, $0.cache) = (true, 4 * n + 1, .none) }
    }
    if let fewer { return fewer }
    // The largest size of the same proportions, of a picture if need be.
    let sides = max(min(request.roundedHeight, request.roundedWidth) / 16, 1)
    let smaller = try [request.frames, 1].compactMap { frames in
      try largest(sides) { side in
        try attempt { changed in
          let scale = Double(max(side, 1)) / Double(sides)
          changed.vaeTiling = true
          changed.cache = .none
          changed.frames = frames
          changed.height = max(Int(Double(request.roundedHeight) * scale) / 16 * 16, 16)
          changed.width = max(Int(Double(request.roundedWidth) * scale) / 16 * 16, 16)
        }
      }
    }
    // Whichever shows more.
    func pixels(_ proposal: Proposal) -> Int {
      proposal.request.frames * proposal.request.roundedHeight * proposal.request.roundedWidth
    }
    return try smaller.max { pixels($0) < pixels($1) } ?? attemptMoreRanks()
  }

  /// The proposal for the largest number below `count` that has one, where smaller numbers need less.
  private func largest(_ count: Int, _ attempt: (Int) throws -> Proposal?) throws -> Proposal? {
    guard count > 0, var best = try attempt(0) else { return nil }
    var (low, high) = (0, count)
    // Of a thousand sizes the nearest few do: each costs a plan.
    while high - low > max(1, count / 256) {
      let middle = (low + high) / 2
      if let found = try attempt(middle) { (low, best) = (middle, found) } else { high = middle }
    }
    return best
  }
}
