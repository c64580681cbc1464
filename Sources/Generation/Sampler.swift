public import Collectives
public import HunyuanVideo
public import Layers
public import TensorCore
import TensorOps

/// Takes noise to latents with the transformer.
public struct Sampler: Sendable {
  private let transformer: HunyuanVideoTransformer
  private let context: ForwardContext
  private let halves: GuidanceHalves?
  private let communication: @Sendable () -> CommunicationStatistics

  /// - Parameters:
  ///   - halves: the halves of the ranks that evaluate the prompt and the negative prompt; nil where all do both.
  ///   - communication: what this rank has sent so far, for the records of steps.
  public init(
    _ transformer: HunyuanVideoTransformer, in context: ForwardContext, halves: GuidanceHalves? = nil,
    communication: @escaping @Sendable () -> CommunicationStatistics = { CommunicationStatistics() }
  ) {
    self.transformer = transformer
    self.context = context
    self.halves = halves
    self.communication = communication
  }

  /// What a step needs beside the latents: for the prompt and, with true guidance, for the negative prompt.
  public struct Guidance: Sendable {
    let positive: TransformerConditioning
    let negative: TransformerConditioning?
    let scale: Float
    /// The other half of the ranks evaluates the other prompt; `positive` is this half's.
    var isShared = false
  }

  /// Everything that does not depend on the latents.
  public func prepare(
    _ request: GenerationRequest, prompt: EncodedPrompt, negative: EncodedPrompt?, scheduler: FlowMatchScheduler
  ) throws -> Guidance {
    func conditioning(_ text: EncodedPrompt) throws -> TransformerConditioning {
      try transformer.conditioning(
        timesteps: scheduler.timesteps, guidance: guidanceInput(scale: request.embeddedGuidance),
        textStates: text.textStates, pooledText: text.pooledText, in: context)
    }
    if let halves, let negative {
      return Guidance(
        positive: try conditioning(halves.branch == .positive ? prompt : negative), negative: nil,
        scale: request.cfgScale,
        isShared: true)
    }
    return Guidance(
      positive: try conditioning(prompt), negative: try negative.map(conditioning), scale: request.cfgScale)
  }

  /// Runs all steps.
  /// - Parameters:
  ///   - noise: `[1, C, F, H, W]` in host memory.
  ///   - state: where to go on instead of beginning with the noise.
  ///   - makeCache: a cache for one sequence of evaluations: with true guidance each branch has its own.
  /// - Returns: latents in host memory.
  public func callAsFunction(
    noise: Tensor, from state: SamplerState? = nil, guidance: Guidance, scheduler: FlowMatchScheduler,
    makeCache: (GuidanceBranch) -> any StepCache = { _ in NoStepCache() }, observer: any GenerationObserver
  ) throws -> Tensor {
    let backend = context.backend
    let clock = ContinuousClock()
    let rotary = transformer.rotaryTable(for: noise.shape)
    let own = guidance.isShared ? halves?.branch ?? .positive : .positive
    let caches = guidance.negative == nil ? [makeCache(own)] : [makeCache(.positive), makeCache(.negative)]
    // Half of the ranks goes on with the state of its pass alone.
    let states = (state?.caches ?? []).dropFirst(own == .negative ? 1 : 0)
    for (cache, saved) in zip(caches, states) { try cache.restore(saved, on: backend) }

    // The state of the sampler stays float32 on the host, whatever the activations' type.
    var latents = state?.latents ?? noise
    func tell(_ step: Int) throws {
      try observer.latentsDidChange(latents, step: step)
      try observer.stateDidChange(step: step, of: scheduler.stepCount) {
        // After the last step the caches have served.
        if step == scheduler.stepCount { return SamplerState(latents: latents, step: step) }
        var saved: [StepCacheState] = []
        for cache in caches {
          guard let state = try cache.savedState(on: backend) else { return nil }
          // What the other half's cache carries is not here.
          if guidance.isShared && !(state.values.isEmpty && state.tensors.isEmpty) { return nil }
          saved.append(state)
        }
        return SamplerState(latents: latents, step: step, caches: saved)
      }
    }
    let first = state?.step ?? 0
    try tell(first)
    // From the second step on there are the latents before it beside the noise: room for them is taken in the first.
    var spare: Tensor? = Tensor(uninitialized: noise.shape)
    for step in first..<scheduler.stepCount {
      let start = clock.now
      context.recorder?.begin(.step, "step \(step + 1)")
      let communicationBefore = communication()
      let allocationsBefore = HostBufferPool.shared.statistics.systemAllocations
      let (velocity, computed) = try velocity(
        of: latents, step: step, guidance: guidance, rotary: rotary, caches: caches)
      latents = eulerStep(latents, velocity, size: scheduler.stepSize(step))
      let elapsed = start.duration(to: clock.now)
      context.recorder?.end(.step, skipped: caches.allSatisfy(\.skipped))
      spare = withExtendedLifetime(spare) { nil }
      observer.stepDidEnd(
        StepRecord(
          index: step, sigma: scheduler.sigmas[step], seconds: elapsed / .seconds(1),
          passes: guidance.isShared ? 2 : caches.count, passesComputed: computed,
          change: caches[0].change, communication: communication().since(communicationBefore),
          allocations: HostBufferPool.shared.statistics.systemAllocations - allocationsBefore))
      observer.stageDidAdvance(.denoise)
      try tell(step + 1)
    }
    return latents
  }

  /// The velocity at one step in host memory, of both passes where guidance is true, and for how many of them the network was
  /// run.
  func velocity(
    of latents: Tensor, step: Int, guidance: Guidance, rotary: RotaryTable, caches: [any StepCache]
  ) throws(BackendError) -> (Tensor, computed: Int) {
    let backend = context.backend
    let input = try backend.upload(latents)
    var velocity = try transformer(
      input, step: step, conditioning: guidance.positive, rotary: rotary, cache: caches[0], in: context)
    if let negative = guidance.negative {
      // v = v₋ + w (v₊ - v₋)
      let unconditional = try transformer(
        input, step: step, conditioning: negative, rotary: rotary, cache: caches[1], in: context)
      velocity = try backend.combination(guidance.scale, velocity, 1 - guidance.scale, unconditional)
    }
    var computed = caches.count { !$0.skipped }
    if guidance.isShared, let halves {
      let both = try halves.exchanged(velocity, computed: computed == 1, on: backend)
      velocity = try backend.combination(guidance.scale, both.positive, 1 - guidance.scale, both.negative)
      computed = both.computed
    }
    return (try backend.download(velocity), computed)
  }

  /// `x + velocity · size` in float32.
  private func eulerStep(_ x: Tensor, _ velocity: Tensor, size: Float) -> Tensor {
    let result = Tensor(uninitialized: x.shape)
    let count = x.count
    let values = x.hostPointer.assumingMemoryBound(to: Float.self)
    let slopes = velocity.hostPointer.assumingMemoryBound(to: Float.self)
    let output = result.mutableHostPointer.assumingMemoryBound(to: Float.self)
    for index in 0..<count { output[index] = values[index] + slopes[index] * size }
    return result
  }
}
