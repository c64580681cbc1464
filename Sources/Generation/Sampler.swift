public import Collectives
public import HunyuanVideo
public import Layers
public import TensorCore
import TensorOps

/// Takes noise to latents with the transformer.
public struct Sampler: Sendable {
  private let transformer: HunyuanVideoTransformer
  private let context: ForwardContext
  private let communication: @Sendable () -> CommunicationStatistics

  /// - Parameter communication: what this rank has sent so far, for the records of steps.
  public init(
    _ transformer: HunyuanVideoTransformer, in context: ForwardContext,
    communication: @escaping @Sendable () -> CommunicationStatistics = { CommunicationStatistics() }
  ) {
    self.transformer = transformer
    self.context = context
    self.communication = communication
  }

  /// What a step needs beside the latents: for the prompt and, with true guidance, for the negative prompt.
  public struct Guidance: Sendable {
    let positive: TransformerConditioning
    let negative: TransformerConditioning?
    let scale: Float
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
    let caches = guidance.negative == nil ? [makeCache(.positive)] : [makeCache(.positive), makeCache(.negative)]
    for (cache, saved) in zip(caches, state?.caches ?? []) { try cache.restore(saved, on: backend) }

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
          saved.append(state)
        }
        return SamplerState(latents: latents, step: step, caches: saved)
      }
    }
    let first = state?.step ?? 0
    try tell(first)
    for step in first..<scheduler.stepCount {
      let start = clock.now
      context.recorder?.begin(.step, "step \(step + 1)")
      let communicationBefore = communication()
      let velocity = try velocity(of: latents, step: step, guidance: guidance, rotary: rotary, caches: caches)
      latents = eulerStep(latents, velocity, size: scheduler.stepSize(step))
      let elapsed = start.duration(to: clock.now)
      context.recorder?.end(.step, skipped: caches.allSatisfy(\.skipped))
      observer.stepDidEnd(
        StepRecord(
          index: step, sigma: scheduler.sigmas[step], seconds: elapsed / .seconds(1),
          passes: caches.count, passesComputed: caches.count { !$0.skipped },
          change: caches[0].change, communication: communication().since(communicationBefore)))
      observer.stageDidAdvance(.denoise)
      try tell(step + 1)
    }
    return latents
  }

  /// The velocity at one step in host memory, of both passes where guidance is true.
  func velocity(
    of latents: Tensor, step: Int, guidance: Guidance, rotary: RotaryTable, caches: [any StepCache]
  ) throws(BackendError) -> Tensor {
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
    return try backend.download(velocity)
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
