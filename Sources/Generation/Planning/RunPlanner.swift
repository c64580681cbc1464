import Checkpoints
import HunyuanVideo
import Layers
import TensorCore
public import TensorOps

/// Finds what runs need by running the networks on a device that only counts, as the busiest rank would: the first, which has the
/// most tokens, encodes the prompts and blends the tiles.
public final class RunPlanner {
  private let networks: PlannedNetworks
  private let makeBackends: (Bool) throws -> PlanningBackends
  private let tokenizer: PromptTokenizer
  private let computesOnHost: Bool
  private var tokens: [String: PromptTokens] = [:]
  /// What opening files and building networks took just now; stages begin with it.
  public private(set) var loadSeconds: [GenerationStage: Double]
  /// What the process holds beside what it works on.
  public var programBytes = 0

  /// - Parameter makeBackends: makes a device that has done nothing yet; told whether weights stay with the host and are brought as
  ///   they are used.
  public init(_ model: ModelFolder, on makeBackends: @escaping (_ streamsWeights: Bool) throws -> PlanningBackends)
    throws
  {
    self.makeBackends = makeBackends
    let backends = try makeBackends(false)
    networks = try PlannedNetworks(model, on: backends)
    computesOnHost = !backends.transformer.hasOwnMemory
    let clock = ContinuousClock()
    let start = clock.now
    tokenizer = try PromptTokenizer(model)
    try networks.requireText(tokenizer)
    loadSeconds = networks.seconds
    loadSeconds[.encodePrompts, default: 0] += start.duration(to: clock.now) / .seconds(1)
  }

  /// All weights of the transformer.
  public var transformerBytes: Int { networks.transformer.weights.reduce(0) { $0 + $1.tensor.byteCount } }

  /// What a run holds on the host at the very least, and in which stage: known without a walk.
  public func least(of request: GenerationRequest, setting: PlanSetting) -> (bytes: Int, stage: GenerationStage) {
    arithmetic.ofHost(request, ranks: setting.layout.ranks, computesOnHost: computesOnHost)
  }

  /// How many tiles a walk goes over.
  public func tileCount(_ request: GenerationRequest) -> Int { arithmetic.tileCount(request) }

  private var arithmetic: LeastMemory {
    LeastMemory(networks.fit.transformer, networks.fit.autoencoder)
  }

  /// The most tiles of a video that is tried, rather than asked for.
  private static let triedTiles = 5000

  /// Brings the code of a device's operations into memory, so that it can be counted.
  public static func loadCode(on backend: any Backend) throws { try OperationRunner.loadCode(on: backend) }

  /// Plans videos that differ in prompt and seed alone; all but the first stage are those of one.
  /// - Precondition: there is a request.
  public func plan(_ requests: [GenerationRequest], setting: PlanSetting) throws -> RunPlan {
    try walk(requests, setting, within: (.max, .max))
  }

  /// The plan where the run never holds more than so many bytes on the host and on the device, else nil: most of what does not fit
  /// shows that early.
  /// - Precondition: there is a request.
  public func plan(_ requests: [GenerationRequest], setting: PlanSetting, within bytes: (host: Int, device: Int)) throws
    -> RunPlan?
  {
    if least(of: requests[0], setting: setting).bytes > bytes.host { return nil }
    // Nobody waits for a proposal of so many tiles: a search makes a plan of each it tries.
    if tileCount(requests[0]) > Self.triedTiles { return nil }
    do { return try walk(requests, setting, within: bytes) } catch is PlanWalk.Excess { return nil }
  }

  private func walk(_ requests: [GenerationRequest], _ setting: PlanSetting, within bytes: (host: Int, device: Int))
    throws -> RunPlan
  {
    var walk = try PlanWalk(
      networks, on: makeBackends(setting.windowBytes != nil), request: requests[0], setting: setting,
      programBytes: programBytes, most: bytes)
    if walk.stepsLeft > 0 {
      try walk.encode(requests.map { try texts(of: $0) })
      try walk.preparePreviews()
      try walk.loadTransformer()
    }
    try walk.makeVideo()
    if setting.comparesWithoutCache {
      try walk.beginComparison()
      try walk.makeVideo()
    }
    return walk.plan
  }

  /// What the text encoders will be given for a request, each text once.
  private func texts(of request: GenerationRequest) throws -> (prompt: PromptTokens, negative: PromptTokens?) {
    func encoded(_ text: String) throws -> PromptTokens {
      let key = "\(request.frames == 1)\(text)"
      if let known = tokens[key] { return known }
      let new = try tokenizer(text, frames: request.frames)
      tokens[key] = new
      return new
    }
    return (try encoded(request.prompt), request.usesGuidance ? try encoded(request.negativePrompt) : nil)
  }
}
