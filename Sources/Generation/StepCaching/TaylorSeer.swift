public import HunyuanVideo
public import TensorCore
public import TensorOps

/// TaylorSeer: on a fixed schedule a step is computed or what it would have computed is extrapolated from earlier ones.
///
/// In the published form the outputs of all modules are extrapolated before their gates, which are those of the step. That
/// keeps `(order + 1)` tensors of all tokens per module: 234 GB for 720p. `scope=velocity` extrapolates the network's output
/// alone, which bounds the memory to `order + 1` tensors of the latents' size; diffusers calls it the lite mode.
///
/// Source: "From Reusing to Forecasting: Accelerating Diffusion Models with TaylorSeers" (arXiv 2503.06923).
public final class TaylorSeer: StepCache {
  /// What is extrapolated.
  public enum Scope: String, Sendable, CaseIterable {
    case modules, velocity
  }

  /// Options under the Ascend recipe's names, with its values.
  public struct Options: Sendable, Hashable {
    /// The highest difference that is used.
    public var order = 3
    /// One step of so many is computed; 1 computes all.
    public var interval = 4
    /// Steps that are computed first.
    public var warmup = 3
    /// Steps that are computed last.
    public var cutoff = 1
    /// How many steps after the warm-up the first step of the schedule is.
    public var offset = 0
    public var scope = Scope.modules

    public init() {}

    init(_ reader: inout StepCacheOptions) throws(RequestError) {
      order = try reader.integer("n_derivatives", default: order, in: 0...8)
      interval = try reader.integer("skip_interval_steps", default: interval, in: 1...10_000)
      warmup = try reader.integer("warmup", default: warmup, in: 0...10_000)
      cutoff = try reader.integer("cutoff_steps", default: cutoff, in: 0...10_000)
      offset = try reader.integer("offset", default: offset, in: 0...10_000)
      scope = try reader.choice("scope", default: scope)
    }
  }

  public private(set) var skipped = false
  private let options: Options
  private let steps: Int
  private var lastComputed: Int?
  private var modules: [BlockModule: (video: TaylorSeries, text: TaylorSeries)] = [:]
  private var velocity = TaylorSeries()

  init(_ options: Options, steps: Int) {
    self.options = options
    self.steps = steps
  }

  /// Whether a step is on the schedule; the very first always is.
  private func isComputed(_ step: Int) -> Bool {
    let sinceFirst = step - options.warmup - options.offset
    return lastComputed == nil || step < options.warmup || steps - step <= options.cutoff
      || (sinceFirst % options.interval == 0)
  }

  public func velocity(step: Int, latents: Tensor, on backend: any Backend) throws(BackendError) -> Tensor? {
    skipped = !isComputed(step)
    guard skipped, options.scope == .velocity, let lastComputed else { return nil }
    return try velocity.value(at: step - lastComputed, on: backend)
  }

  public func output(
    of module: BlockModule, step: Int, on backend: any Backend, evaluate: () throws(BackendError) -> TokenStreams
  ) throws(BackendError) -> TokenStreams? {
    guard options.scope == .modules else { return nil }
    let distance = step - (lastComputed ?? step - 1)
    if skipped, let series = modules[module] {
      return TokenStreams(
        video: try series.video.value(at: distance, on: backend), text: try series.text.value(at: distance, on: backend)
      )
    }
    let output = try evaluate()
    // Taken out, so that the factors are updated in place.
    var series = modules.removeValue(forKey: module) ?? (TaylorSeries(), TaylorSeries())
    try series.video.update(output.video, distance: distance, order: options.order, on: backend)
    try series.text.update(output.text, distance: distance, order: options.order, on: backend)
    modules[module] = series
    return output
  }

  public func finish(step: Int, latents: Tensor, velocity value: Tensor, on backend: any Backend) throws(BackendError) {
    if skipped { return }
    if options.scope == .velocity {
      try velocity.update(value, distance: step - (lastComputed ?? step - 1), order: options.order, on: backend)
    }
    lastComputed = step
  }
}

// MARK: Saving

extension TaylorSeer {
  /// What is extrapolated is saved up to this size: outputs of all modules are soon a hundred times the latents.
  private static let mostSavedBytes = 1 << 30

  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? {
    var tensors = velocity.named("")
    for (module, series) in modules {
      tensors.merge(series.video.named(Self.prefix(module) + "video.")) { first, _ in first }
      tensors.merge(series.text.named(Self.prefix(module) + "text.")) { first, _ in first }
    }
    if tensors.values.reduce(0, { $0 + ($1?.byteCount ?? 0) }) > Self.mostSavedBytes { return nil }
    return try StepCacheState(
      numbers: ["lastComputed": lastComputed.map(Double.init)], tensors: tensors, on: backend)
  }

  public func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {
    lastComputed = state.number("lastComputed").map { Int($0) }
    velocity = try TaylorSeries(named: "", of: state, on: backend)
    modules.removeAll()
    for name in state.tensors.keys {
      // The first factor of each module's video tokens.
      let parts = name.split(separator: ".")
      guard parts.count == 4, parts[2] == "video", parts[3] == "0", let block = Int(parts[0]),
        let part = BlockModule.Part(rawValue: String(parts[1]))
      else { continue }
      let module = BlockModule(block: block, part: part)
      modules[module] = (
        video: try TaylorSeries(named: Self.prefix(module) + "video.", of: state, on: backend),
        text: try TaylorSeries(named: Self.prefix(module) + "text.", of: state, on: backend)
      )
    }
  }

  private static func prefix(_ module: BlockModule) -> String { "\(module.block).\(module.part.rawValue)." }
}

extension TaylorSeries {
  /// The factors under a name with their numbers.
  fileprivate func named(_ prefix: String) -> [String: Tensor?] {
    Dictionary(uniqueKeysWithValues: factors.enumerated().map { ("\(prefix)\($0.offset)", Optional($0.element)) })
  }

  fileprivate init(named prefix: String, of state: StepCacheState, on backend: any Backend) throws(BackendError) {
    var factors: [Tensor] = []
    while let factor = try state.tensor("\(prefix)\(factors.count)", on: backend) { factors.append(factor) }
    self.init(factors)
  }
}
