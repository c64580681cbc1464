import Checkpoints
import Collectives
import Foundation
import Generation

/// The file that `--report` writes.
struct GenerationReport: Encodable {
  struct Settings: Encodable {
    let prompt: String
    let negativePrompt: String
    let model: String
    let height: Int
    let width: Int
    let frames: Int
    let framesPerSecond: Int
    let steps: Int
    let cfgScale: Float
    let embeddedGuidance: Float
    let flowShift: Float
    let flowReverse: Bool
    let vaeTiling: Bool
    let cache: String
    let cacheOptions: [String: String]
    let device: String
    /// The types of activations.
    let precision: String
    let textEncoderPrecision: String
    let vaePrecision: String
    /// In a video, those that were asked for alone: what the machine has changes no bit that was ever seen.
    let threads: Int?
    let ulyssesDegree: Int
    let ringDegree: Int
    let useVaeParallel: Bool
    let cfgParallel: Bool
    /// The key of the transformer's weights in a PyTorch file, where one was given.
    let loadKey: String?
    /// Of the noise that was given instead of the seed's.
    let initialNoiseSHA256: String?

    /// - Parameter namesPaths: false leaves out folders, and what the machine alone decided, for a video that others will see.
    init(_ request: GenerationRequest, plan: GeneratePlan, namesPaths: Bool) {
      prompt = request.prompt
      negativePrompt = request.negativePrompt
      model = namesPaths ? plan.model.root : (plan.model.root as NSString).lastPathComponent
      (height, width, frames) = (request.roundedHeight, request.roundedWidth, request.frames)
      framesPerSecond = plan.framesPerSecond
      steps = request.steps
      (cfgScale, embeddedGuidance) = (request.cfgScale, request.embeddedGuidance)
      (flowShift, flowReverse) = (request.flowShift, request.flowReverse)
      vaeTiling = request.vaeTiling
      (cache, cacheOptions) = (request.cache.method, request.cache.options)
      device = plan.device.name
      precision = plan.device.precisions.transformer.word
      textEncoderPrecision = plan.device.precisions.textEncoders.word
      vaePrecision = plan.device.precisions.autoencoder.word
      threads = namesPaths ? plan.threads : plan.threadsAskedFor
      (ulyssesDegree, ringDegree) = (plan.sharing.layout.ulysses, plan.sharing.layout.ring)
      (useVaeParallel, cfgParallel) = (plan.sharing.sharesTiles, plan.sharing.splitsGuidance)
      loadKey = plan.model.loadKey
      initialNoiseSHA256 = request.initialNoise.map(\.sha256)
    }
  }

  /// What to type to make the video again.
  let command: [String]
  let environment: ReportEnvironment
  let started: Date
  /// From the start to the finished video.
  let seconds: Double
  /// Of the last step's; equal where the same run was made again.
  let latentsSHA256: String?
  /// From the disk, where the system tells.
  let bytesRead: Int?
  let settings: Settings
  let seed: UInt64
  let version: String
  let checkpointSHA256: String
  let stages: [RunObserver.StageRecord]
  let steps: [StepRecord]
  let peakRSSBytes: Int
  let warnings: [String]
  let ranks: Int
  /// Of the first rank, as those of the steps are.
  let bytesSent: Int
  let communicationSeconds: Double
  let exposedCommunicationSeconds: Double
  /// Of every rank.
  let perRank: [RankReport]
  let output: String
  /// What was planned, beside what came of it.
  var plan: ForecastReport?
  /// Where it was measured.
  var fidelity: FidelityMeasurement?
  let stepsComputed: Int

  init(_ job: GenerateJob, plan: GeneratePlan, observer: RunObserver, communication: [RankReport]) {
    command = Self.command(job, plan: plan)
    environment = ReportEnvironment(plan)
    started = observer.started
    seconds = Date().timeIntervalSince(observer.started)
    latentsSHA256 = observer.lastLatents?.sha256
    bytesRead = ProcessMemory.bytesRead()
    settings = Settings(job.request, plan: plan, namesPaths: true)
    seed = job.request.seed
    version = ProgramVersion.current
    checkpointSHA256 = plan.checkpointDigest
    stages = observer.stages
    steps = observer.steps
    peakRSSBytes = observer.peakRSSBytes
    warnings = observer.warnings
    ranks = plan.group.size
    perRank = communication
    let first = communication.first
    bytesSent = first?.bytesSent ?? 0
    communicationSeconds = first?.communicationSeconds ?? 0
    exposedCommunicationSeconds = first?.exposedCommunicationSeconds ?? 0
    output = job.path
    var plan = plan.forecast.map {
      ForecastReport($0, request: job.request, layoutReason: nil, threads: plan.threads)
    }
    plan?.compare(with: observer.stages)
    self.plan = plan
    stepsComputed = observer.steps.count { !$0.skipped }
  }

  enum CodingKeys: String, CodingKey {
    case command, environment, started, seconds, settings, seed, version, stages, steps, warnings, ranks, output,
      fidelity, plan
    case latentsSHA256 = "latents_sha256"
    case bytesRead = "bytes_read"
    case stepsComputed = "steps_computed"
    case checkpointSHA256 = "checkpoint_sha256"
    case peakRSSBytes = "peak_rss_bytes"
    case bytesSent = "bytes_sent"
    case communicationSeconds = "communication_seconds"
    case exposedCommunicationSeconds = "exposed_communication_seconds"
    case perRank = "per_rank"
  }

  /// Writes the report as one JSON object, to a temporary name first.
  func write(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.dateEncodingStrategy = .iso8601
    encoder.keyEncodingStrategy = .convertToSnakeCase
    try FileSystem.write([UInt8](encoder.encode(self)), to: path)
  }

  /// The settings as one line of JSON, for a video's metadata.
  static func settingsLine(_ request: GenerationRequest, plan: GeneratePlan) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(decoding: try encoder.encode(Settings(request, plan: plan, namesPaths: false)), as: UTF8.self)
  }
}
