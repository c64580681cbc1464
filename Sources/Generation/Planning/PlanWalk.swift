import Collectives
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import Tokenizers

/// One plan being made: the stages of the pipeline in order, each with the code that will run.
struct PlanWalk {
  private let networks: PlannedNetworks
  private let backend: any PlanningBackend
  private let request: GenerationRequest
  private let setting: PlanSetting
  private let programBytes: Int
  private let ranks: SequenceGroup
  private let streaming: PlannedStreaming?
  private let context: ForwardContext
  private var transformer: HunyuanVideoTransformer
  private var prompt: EncodedPrompt?
  private var negative: EncodedPrompt?
  private var guidance: Sampler.Guidance?
  private var stages: [RunPlan.Stage] = []
  private var denseStep = OperationCounts()
  private var skippedStep: OperationCounts?
  private var sentBefore = CommunicationStatistics()

  private var memory: PlanningMemory { backend.memory }

  init(
    _ networks: PlannedNetworks, on backend: any PlanningBackend, request: GenerationRequest, setting: PlanSetting,
    programBytes: Int
  ) {
    (self.networks, self.backend, self.request, self.setting) = (networks, backend, request, setting)
    self.programBytes = programBytes
    ranks = PlanningGroup.sequence(setting.layout, rank: 0, in: backend.memory)
    streaming = setting.windowBytes.map { PlannedStreaming(windowBytes: $0, in: backend.memory) }
    context = ForwardContext(backend: backend, weightStreaming: streaming)
    transformer = networks.transformer.network
    backend.memory.book(programBytes)
  }

  var plan: RunPlan {
    RunPlan(
      stages: stages, denseStep: denseStep, skippedStep: skippedStep, setting: setting, programBytes: programBytes)
  }

  // MARK: Stages

  /// Both text encoders on all texts. They and their weights are gone afterwards.
  mutating func encode(_ texts: [(prompt: PromptTokens, negative: PromptTokens?)]) throws {
    begin()
    let encoder = try networks.loadedEncoder(in: context, on: backend)
    streaming?.register(encoder.weights)
    streaming?.beginPhase()
    var known: [[Int32]: EncodedPrompt] = [:]
    for tokens in texts.flatMap({ [$0.prompt, $0.negative] }).compactMap({ $0 })
    where known[tokens.templated.ids] == nil {
      let encoded = try encoder.network(tokens, in: context)
      for tensor in [encoded.textStates, encoded.pooledText] {
        _ = try ranks.all.broadcast(backend.download(tensor), shape: tensor.shape, from: 0)
      }
      known[tokens.templated.ids] = encoded
    }
    prompt = known[texts[0].prompt.templated.ids]
    negative = texts[0].negative.flatMap { known[$0.templated.ids] }
    end(.encodePrompts, units: texts.count)
    memory.releaseWeights()
    streaming?.reset()
  }

  /// What does not depend on the latents.
  mutating func prepareSteps() throws {
    begin()
    let loaded = try networks.loadedTransformer(on: backend)
    transformer = loaded.network
    end(.loadTransformer)
    guard let prompt else { return }
    begin()
    streaming?.register(loaded.weights)
    streaming?.beginPhase()
    guidance = try sampler.prepare(request, prompt: prompt, negative: negative, scheduler: scheduler)
    end(.condition)
    streaming?.beginPhase(excluding: streaming?.used ?? [], stopsAtDecisions: request.cache != .none)
  }

  /// All steps. From the second on they are alike, unless a step cache has a schedule or collects tensors.
  mutating func denoise() throws {
    begin()
    guard let guidance else { return }
    let noise = memory.tensor(latentShape)
    let rotary = rotaryTable()
    var caches = makeCaches()
    let walked = request.cache == .none ? min(request.steps, 2) : request.steps
    var work = OperationCounts()
    var latents = noise
    var (reading, last) = (memory.statistics.weightBytesRead, OperationCounts())
    var (read, sent) = (0, ranks.all.statistics)
    for step in 0..<walked {
      (reading, sent) = (memory.statistics.weightBytesRead, ranks.all.statistics)
      latents = try self.step(step, latents, guidance, rotary, caches)
      last = backend.journal.take()
      work.add(last)
      if caches.allSatisfy(\.skipped) { skippedStep = last } else { denseStep = last }
    }
    read = memory.statistics.weightBytesRead - reading
    let perStep = ranks.all.statistics.since(sent)
    let rest = request.steps - walked
    work.add(last, times: rest)
    end(
      .denoise, units: request.steps, work: work, read: memory.statistics.weightBytesRead + rest * read,
      sent: (perStep.bytesSent * rest, perStep.messages * rest))
    caches = []
    if request.cache != .none && skippedStep == nil { skippedStep = try skippedStepAlone(guidance, rotary) }
    self.guidance = nil
  }

  /// Tiles, blending, and the frames on their way out.
  mutating func decode() throws {
    begin()
    // On a device with memory of its own the transformer gives way.
    transformer = networks.transformer.network
    let decoder = try networks.loadedDecoder(on: backend).network
    end(.loadDecoder)
    begin()
    let memory = memory
    let tiled = TiledDecoder(
      decoder, tiling: request.vaeTiling, in: context,
      group: setting.sharesTiles ? ranks.all : SingleProcessGroup(), allocate: { memory.tensor($0) })
    let shape = latentShape
    var kept: [Tensor] = []
    try tiled.decode(memory.tensor(shape)) { frames in
      let pixels = memory.tensor(frames.shape)
      if setting.keepsFrames { kept.append(pixels) }
    }
    withExtendedLifetime(kept) {}
    end(.decode, units: tiled.tileCount(for: shape))
  }

  // MARK: Parts

  private var scheduler: FlowMatchScheduler {
    FlowMatchScheduler(steps: request.steps, shift: request.flowShift, reverse: request.flowReverse)
  }

  private var latentShape: Shape {
    let (c, request) = (networks.decoderConfiguration, request)
    return [
      1, transformer.configuration.inputChannels, (request.frames - 1) / c.timeCompression + 1,
      request.roundedHeight / c.spatialCompression, request.roundedWidth / c.spatialCompression,
    ]
  }

  private var sampler: Sampler {
    Sampler(transformer, in: ranks.context(context))
  }

  /// The angles' memory without the angles.
  private func rotaryTable() -> RotaryTable {
    let tokens = transformer.grid(for: latentShape).reduce(1, *)
    let shape: Shape = [tokens, transformer.configuration.rotaryDimensions.reduce(0, +) / 2]
    return RotaryTable(cosines: memory.tensor(shape), sines: memory.tensor(shape), pairing: .interleaved)
  }

  private func makeCaches() -> [any StepCache] {
    (request.usesGuidance ? [GuidanceBranch.positive, .negative] : [.positive]).map { branch in
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

  // MARK: Books

  private mutating func begin() {
    memory.beginStage()
    _ = backend.takeDevicePeak()
    _ = backend.journal.take()
    sentBefore = ranks.all.statistics
  }

  private mutating func end(
    _ stage: GenerationStage, units: Int = 1, work: OperationCounts? = nil, read: Int? = nil,
    sent more: (bytes: Int, messages: Int) = (0, 0)
  ) {
    let statistics = memory.statistics
    let sent = ranks.all.statistics.since(sentBefore)
    stages.append(
      RunPlan.Stage(
        stage: stage, units: units, hostPeakBytes: statistics.peakBytes, devicePeakBytes: backend.takeDevicePeak(),
        tensorBytes: statistics.pool.peakBytesHeld, weightBytes: statistics.peakWeightBytes,
        bytesRead: read ?? statistics.weightBytesRead, bytesSent: sent.bytesSent + more.bytes,
        messages: sent.messages + more.messages, work: work ?? backend.journal.take()))
    memory.trim()
  }
}
