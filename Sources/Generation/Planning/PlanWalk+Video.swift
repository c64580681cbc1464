import Collectives
import HunyuanVideo
import Layers
import TensorCore
import TensorOps

// What each video has: the steps and the frames.

extension PlanWalk {
  /// From the encoded prompt to frames.
  mutating func makeVideo() throws {
    if stepsLeft > 0 {
      try makeLatents()
      // The caches, too, are gone when the stage ends.
      memory.trim()
      backend.trim()
    }
    try decode()
  }

  /// What the steps need is gone when they are done.
  private mutating func makeLatents() throws {
    guard let guidance = try prepareSteps() else { return }
    try denoise(guidance)
  }

  /// What does not depend on the latents.
  private mutating func prepareSteps() throws -> Sampler.Guidance? {
    guard let prompt else { return nil }
    begin()
    streaming?.beginPhase(stopsAtDecisions: true)
    let guidance = try sampler.prepare(request, prompt: prompt, negative: negative, scheduler: scheduler)
    end(.condition)
    streaming?.beginPhase(excluding: streaming?.used ?? [], stopsAtDecisions: request.cache != .none)
    return guidance
  }

  /// All steps. From the second on they are alike, unless a step cache has a schedule or collects tensors.
  private mutating func denoise(_ guidance: Sampler.Guidance) throws {
    begin()
    // The pipeline holds the noise to the end.
    let noise = memory.tensor(latentShape)
    kept.append(noise)
    let rotary = rotaryTable()
    var caches = makeCaches()
    let previews = previewCount
    // A step cache is as it will be only after all steps before, of which those that are done count for nothing: neither does
    // what the first of them makes for all, the modulation, which is little.
    let first = request.cache == .none ? stepsDone : 0
    // After a preview, blocks are kept that a step has no use for: one more step has them beside its own.
    let walked = request.cache == .none ? min(stepsLeft, previews > 0 ? 3 : 2) : request.steps
    var rest = request.steps - first - walked
    // Nothing that a cache sees is small in a plan: where it decides by that alone, steps are alike sooner or later.
    let endsWhenSteady = request.cache.decidesByChange && previews == 0 && !setting.comparesWithoutCache
    var (work, last, previewWork) = (OperationCounts(), OperationCounts(), OperationCounts())
    var latents = noise
    keepLatents(latents)
    var (held, before) = (memory.statistics, all.statistics)
    let atStart = (held: held, sent: before)
    var (heldWhenDone, sentWhenDone) = atStart
    for step in 0..<walked {
      (held, before) = (memory.statistics, all.statistics)
      if first + step == stepsDone { (heldWhenDone, sentWhenDone) = (held, before) }
      // The last step finds all others' latents where they are kept.
      if step == walked - 1 { for _ in 0..<rest { keepLatents(memory.tensor(latentShape)) } }
      let (previous, most) = (last.calls, memory.statistics.peakBytes)
      latents = try self.step(first + step, latents, guidance, rotary, caches)
      keepLatents(latents)
      last = backend.journal.take()
      if first + step >= stepsDone { work.add(last) }
      try requireRoom()
      if endsWhenSteady && step > max(4, stepsDone), last.calls == previous,
        memory.statistics.peakBytes == most, memory.statistics.pool.bytesInUse == held.pool.bytesInUse
      {
        rest = request.steps - 1 - step
        break
      }
      if caches.allSatisfy(\.skipped) { skippedStep = last } else { denseStep = last }
      if previews > 0 && (step == walked - 2 || walked == 1) {
        try drawPreview()
        previewWork = backend.journal.take()
      }
    }
    let read = memory.statistics.weightBytesRead - held.weightBytesRead
    let newBytes = memory.statistics.pool.systemBytes - held.pool.systemBytes
    let perStep = all.statistics.since(before)
    work.add(last, times: rest)
    work.add(previewWork, times: previews)
    // Of steps that only brought a cache to where it is, nothing counts.
    let earlier = (
      read: heldWhenDone.weightBytesRead - atStart.held.weightBytesRead,
      new: heldWhenDone.pool.systemBytes - atStart.held.pool.systemBytes,
      sent: sentWhenDone.since(atStart.sent)
    )
    end(
      .denoise, units: stepsLeft, work: work,
      read: memory.statistics.weightBytesRead + rest * read - earlier.read, new: rest * newBytes - earlier.new,
      sent: (perStep.bytesSent * rest - earlier.sent.bytesSent, perStep.messages * rest - earlier.sent.messages))
    try requireRoom()
    caches = []
    if request.cache != .none && skippedStep == nil && !asksForFitAlone {
      skippedStep = try skippedStepAlone(guidance, rotary)
      // No run has these steps: their blocks are not kept.
      memory.trim()
    }
  }

  /// Tiles, blending, and the frames on their way out.
  private mutating func decode() throws {
    // On a device with memory of its own the transformer gives way.
    transformer = networks.transformer.network
    if backend.hasOwnMemory { streaming?.reset() }
    let decoder = try decoder ?? loadedDecoder()
    // The transformer's blocks are let go.
    streaming?.beginPhase()
    begin()
    let memory = memory
    let tiled = TiledDecoder(
      decoder, tiling: request.vaeTiling, in: contexts.autoencoder,
      group: setting.sharesTiles ? all : SingleProcessGroup(), allocate: { memory.tensor($0) })
    let shape = latentShape
    var video: Tensor?
    let latents = memory.tensor(shape)
    let tiles = PlannedTiles(backend)
    try tiled.decode(latents, decoding: tiles.decode) { frames in
      let pixels = memory.tensor(frames.shape)
      if setting.keepsFrames && video == nil {
        let extents = frames.shape.dimensions
        video = memory.tensor([1, extents[1], request.frames, extents[3], extents[4]])
      }
      withExtendedLifetime(pixels) {}
      try requireRoom()
    }
    try requireRoom()
    withExtendedLifetime((latents, video)) {}
    end(.decode, units: tiled.tileCount(for: shape), work: tiles.takeWork())
    if setting.comparesWithoutCache, let video { kept.append(video) }
  }

  private mutating func loadedDecoder() throws -> VideoDecoder {
    begin()
    let loaded = try networks.loadedDecoder(on: backends.autoencoder).network
    decoder = loaded
    end(.loadDecoder)
    return loaded
  }

  // MARK: Previews

  private var previewCount: Int {
    guard let interval = setting.previewInterval, !isComparison else { return 0 }
    // After each interval, and after the last step.
    return request.steps / interval - stepsDone / interval + (request.steps % interval == 0 || stepsLeft == 0 ? 0 : 1)
  }

  /// Decodes what a picture on the way is fitted to.
  private func drawPreview() throws {
    // The latents before, both as plain numbers, and what they lead to.
    let numbers = (0..<5).map { _ in memory.tensor(latentShape) }
    for shape in LatentColorMap.partShapes(of: latentShape) { try decodeWhole(shape) }
    withExtendedLifetime(numbers) {}
  }

  func decodeWhole(_ latents: Shape) throws {
    guard let decoder else { return }
    let memory = memory
    let tiled = TiledDecoder(decoder, tiling: false, in: contexts.autoencoder, allocate: { memory.tensor($0) })
    try tiled.decode(memory.tensor(latents)) { _ in }
  }

  /// Keeps a step's latents where they are to be compared.
  private mutating func keepLatents(_ latents: Tensor) {
    if setting.comparesWithoutCache { kept.append(latents) }
  }

  // MARK: Parts

  private var scheduler: FlowMatchScheduler {
    FlowMatchScheduler(steps: request.steps, shift: request.flowShift, reverse: request.flowReverse)
  }

  private var latentShape: Shape { networks.fit.latentShape(request) }

  private var sampler: Sampler {
    Sampler(transformer, in: ranks.context(contexts.transformer), halves: halves)
  }

  /// The angles' memory without the angles.
  private func rotaryTable() -> RotaryTable {
    let tokens = transformer.grid(for: latentShape).reduce(1, *)
    let shape: Shape = [tokens, transformer.configuration.rotaryDimensions.reduce(0, +) / 2]
    return RotaryTable(cosines: memory.tensor(shape), sines: memory.tensor(shape), pairing: .interleaved)
  }

  private func makeCaches() -> [any StepCache] {
    // Of two halves this is the first.
    (request.usesGuidance && halves == nil ? [GuidanceBranch.positive, .negative] : [.positive]).map { branch in
      request.cache.makeCache(steps: request.steps, group: ranks.all, branch: branch)
    }
  }

  private func step(
    _ step: Int, _ latents: Tensor, _ guidance: Sampler.Guidance, _ rotary: RotaryTable, _ caches: [any StepCache]
  ) throws -> Tensor {
    let (velocity, _) = try sampler.velocity(
      of: latents, step: step, guidance: guidance, rotary: rotary, caches: caches)
    let next = memory.tensor(latents.shape)
    return withExtendedLifetime(velocity) { next }
  }

  /// A step that a cache skips because nothing changes; nil where it never does.
  private func skippedStepAlone(_ guidance: Sampler.Guidance, _ rotary: RotaryTable) throws -> OperationCounts? {
    let caches = makeCaches()
    var latents = memory.tensor(latentShape)
    defer { backend.journal.assumedChange = 1 }
    for index in 0..<request.steps {
      latents = try step(index, latents, guidance, rotary, caches)
      let work = backend.journal.take()
      if caches.allSatisfy(\.skipped) { return work }
      backend.journal.assumedChange = 0
    }
    return nil
  }
}
