import Collectives
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import Tokenizers

/// One plan being made: the stages of the pipeline in order, each with the code that will run. What each video has is in
/// `PlanWalk+Video.swift`.
struct PlanWalk {
  let networks: PlannedNetworks
  let backends: PlanningBackends
  private(set) var request: GenerationRequest
  let setting: PlanSetting
  private let programBytes: Int
  /// What the run may hold on the host and on the device.
  private let most: (host: Int, device: Int)
  let ranks: SequenceGroup
  let halves: GuidanceHalves?
  let streaming: PlannedStreaming?
  let contexts: StageContexts
  var transformer: HunyuanVideoTransformer
  /// From its loading on.
  var decoder: VideoDecoder?
  var prompt: EncodedPrompt?
  var negative: EncodedPrompt?
  private(set) var stages: [RunPlan.Stage] = []
  var denseStep = OperationCounts()
  var skippedStep: OperationCounts?
  /// What stays in memory to the end of the run: the noise, and what a comparison needs.
  var kept: [Tensor] = []
  private(set) var isComparison = false
  private var sentBefore = CommunicationStatistics()
  private var systemBytesBefore = 0

  /// Those that the run has behind it. A comparison begins at the noise.
  var stepsDone: Int { isComparison ? 0 : min(setting.stepsDone, request.steps) }
  var stepsLeft: Int { request.steps - stepsDone }

  /// The transformer's; all share its memory and its journal.
  var backend: any PlanningBackend { backends.transformer }
  var memory: PlanningMemory { backend.memory }
  /// All ranks that make a video together. Its statistics count what goes by the processes and what goes by their devices.
  var all: any ProcessGroup { halves?.all ?? ranks.all }

  init(
    _ networks: PlannedNetworks, on backends: PlanningBackends, request: GenerationRequest, setting: PlanSetting,
    programBytes: Int, most: (host: Int, device: Int)
  ) throws {
    self.most = most
    (self.networks, self.backends, self.request, self.setting) = (networks, backends, request, setting)
    self.programBytes = programBytes
    let backend = backends.transformer
    (ranks, halves) = try PlanningGroup.groups(
      setting, in: backend.memory, sent: CommunicationMeter(), makeGroups: backends.makeGroups)
    streaming = setting.windowBytes.map {
      PlannedStreaming(windowBytes: $0, in: backend.memory, tellsDevice: backend.hasOwnMemory)
    }
    contexts = StageContexts(
      textEncoders: ForwardContext(backend: backends.textEncoders),
      transformer: ForwardContext(backend: backends.transformer),
      autoencoder: ForwardContext(backend: backends.autoencoder)
    ).streaming(streaming)
    transformer = networks.transformer.network
    backend.memory.book(programBytes)
  }

  /// Whether the walk only finds out if the run fits.
  var asksForFitAlone: Bool { most.host < .max || most.device < .max }

  /// Ends a walk whose run does not fit.
  struct Excess: Error {}

  /// - Throws: `Excess` where the run has held more than it may.
  func requireRoom() throws(Excess) {
    if memory.statistics.peakBytes > most.host { throw Excess() }
    if stages.contains(where: { $0.devicePeakBytes > most.device }) { throw Excess() }
  }

  var plan: RunPlan {
    RunPlan(
      stages: stages, denseStep: denseStep, skippedStep: skippedStep, setting: setting, programBytes: programBytes)
  }

  // MARK: Stages before the first video

  /// Both text encoders on all texts. They and their weights are gone afterwards.
  mutating func encode(_ texts: [(prompt: PromptTokens, negative: PromptTokens?)]) throws {
    begin()
    let encoder = try networks.loadedEncoder(in: contexts.textEncoders, on: backends.textEncoders)
    streaming?.register(encoder.weights)
    streaming?.beginPhase()
    var known: [[Int32]: EncodedPrompt] = [:]
    for tokens in texts.flatMap({ [$0.prompt, $0.negative] }).compactMap({ $0 })
    where known[tokens.templated.ids] == nil {
      let encoded = try encoder.network(tokens, in: contexts.textEncoders)
      known[tokens.templated.ids] = EncodedPrompt(
        textStates: try shared(encoded.textStates), pooledText: try shared(encoded.pooledText))
    }
    prompt = known[texts[0].prompt.templated.ids]
    negative = texts[0].negative.flatMap { known[$0.templated.ids] }
    end(.encodePrompts, units: texts.count)
    try requireRoom()
    memory.releaseWeights()
    streaming?.reset()
  }

  /// The first rank's tensor on its way to all transformers.
  private func shared(_ tensor: Tensor) throws -> Tensor {
    let mine = try contexts.handedOver(tensor)
    if all.size == 1 { return mine }
    return try TensorMessages(group: all, backend: backend).broadcast(mine, shape: mine.shape, from: 0)
  }

  /// The decoder is loaded, and colours are fitted to it, before there are latents to show.
  mutating func preparePreviews() throws {
    if setting.previewInterval == nil { return }
    begin()
    let loaded = try networks.loadedDecoder(on: backends.autoencoder)
    decoder = loaded.network
    streaming?.register(loaded.weights)
    end(.loadDecoder)
    begin()
    for shape in LatentColorMap.randomShapes(networks.fit.autoencoder) { try decodeWhole(shape) }
    end(.fitPreviews)
  }

  mutating func loadTransformer() throws {
    begin()
    // On a device with memory of its own the decoder gives way.
    if backend.hasOwnMemory { decoder = nil }
    let loaded = try networks.loadedTransformer(on: backend)
    transformer = loaded.network
    streaming?.register(loaded.weights)
    end(.loadTransformer)
  }

  /// What follows is the run without cache that the first is compared with.
  mutating func beginComparison() throws {
    isComparison = true
    if backend.hasOwnMemory { try loadTransformer() }
    request.cache = .none
  }

  // MARK: Books

  mutating func begin() {
    memory.beginStage()
    _ = backend.takeDevicePeak()
    _ = backend.journal.take()
    sentBefore = all.statistics
    systemBytesBefore = memory.statistics.pool.systemBytes
  }

  mutating func end(
    _ stage: GenerationStage, units: Int = 1, work: OperationCounts? = nil, read: Int? = nil,
    new moreBytes: Int = 0, sent more: (bytes: Int, messages: Int) = (0, 0)
  ) {
    let statistics = memory.statistics
    let sent = all.statistics.since(sentBefore)
    stages.append(
      RunPlan.Stage(
        stage: stage, isComparison: isComparison, units: units, hostPeakBytes: statistics.peakBytes,
        devicePeakBytes: backend.takeDevicePeak(),
        tensorBytes: statistics.pool.peakBytesHeld,
        newBytes: statistics.pool.systemBytes - systemBytesBefore + moreBytes, weightBytes: statistics.peakWeightBytes,
        bytesRead: read ?? statistics.weightBytesRead, bytesSent: sent.bytesSent + more.bytes,
        messages: sent.messages + more.messages, work: work ?? backend.journal.take()))
    memory.trim()
    backend.trim()
  }
}
