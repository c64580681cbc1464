import Collectives
import Foundation
import Generation

// Saving a run, and going on with one.

extension GeneratePlan {
  /// The file that a job is saved in: beside its output.
  func runPath(_ job: GenerateJob) -> String { resumed?.path ?? OutputPlan.beside(job.path, .run) }

  /// Everything that decides a request's latents.
  func identity(_ request: GenerationRequest) -> RunIdentity {
    RunIdentity(
      request,
      others: ["version": ProgramVersion.current, "checkpoint_sha256": checkpointDigest, "device": device.kind])
  }

  /// What a resumed run takes over beside its identity, and a decoder needs.
  func details(_ job: GenerateJob) throws -> [String: String] {
    var details = [
      "model": Self.absolute(model.root), "output": Self.absolute(job.path), "fps": "\(framesPerSecond)",
      "threads": "\(threads)", "vae_tiling": "\(job.request.vaeTiling)", "steps": "\(job.request.steps)",
    ]
    details.merge(sharing.details(ranks: group.size)) { $1 }
    details["cache"] = job.request.cache.method
    details["cache_options"] = job.request.cache.optionLines.joined(separator: "\n")
    for (name, path) in parts.named { details[name] = path.map(Self.absolute) }
    details["load_key"] = model.loadKey
    details["threads_asked_for"] = threadsAskedFor.map { "\($0)" }
    details["device"] = device.name
    details["precision"] = device.precisions.transformer.word
    details["text_encoder_precision"] = device.precisions.textEncoders.word
    details["vae_precision"] = device.precisions.autoencoder.word
    for (key, value) in try metadata(job) { details["metadata.\(key)"] = value }
    return details
  }

  /// What the video's file says of itself.
  func metadata(_ job: GenerateJob) throws -> [String: String] {
    let request = job.request
    return [
      "title": request.prompt, "prompt": request.prompt, "seed": "\(request.seed)",
      "settings": try GenerationReport.settingsLine(request, plan: self), "checkpoint_sha256": checkpointDigest,
      "generator": "hyvideo \(ProgramVersion.current)",
    ]
  }

  func saver(_ job: GenerateJob) throws -> RunSaver {
    RunSaver(
      path: runPath(job), identity: identity(job.request), details: try details(job), interval: saveInterval,
      usesCache: job.request.cache != .none, group: group)
  }

  /// Refuses a run that is another than the one that was saved, and names what differs.
  func requireSame(_ saved: SavedRun, _ path: String) throws(RequestError) {
    guard jobs.count == 1, let job = jobs.first else {
      throw RequestError(
        "several videos", at: "--resume", expected: "one", found: "\(jobs.count)",
        remedy: "leave --num-videos and --prompt-file out; the file has the prompt")
    }
    let new = identity(job.request)
    for name in new.differences(from: saved.identity) {
      // Noise has no part in the steps that follow.
      if name == "initialNoise" && initialNoise == nil { continue }
      var (expected, found) = (saved.identity.values[name] ?? "none", new.values[name] ?? "none")
      if name == "cache" {
        expected = CacheOptions.flags(
          saved.details["cache"] ?? "none", options: saved.details["cache_options"]?.split(separator: "\n") ?? [])
        found = CacheOptions.flags(job.request.cache.method, options: job.request.cache.optionLines)
      }
      throw RequestError(
        "another run", at: "\(path): \(ResumedFlags.names[name] ?? name)", expected: expected, found: found,
        remedy: "leave the flag out or start a new run")
    }
  }

  /// What to say where a run is shared otherwise than before: sums are then rounded otherwise.
  func sharingWarning(since saved: SavedRun) -> String? {
    let now = sharing.details(ranks: group.size)
    guard now.contains(where: { key, value in saved.details[key].map { $0 != value } ?? false }) else { return nil }
    return
      "the run was saved on \(RankSharing.text(saved.details)) and goes on with \(RankSharing.text(now)): numbers are "
      + "rounded otherwise, and the video may differ in its last bits from that of a run that was not interrupted"
  }

  private static func absolute(_ path: String) -> String {
    let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
    return path.hasSuffix("/") && !absolute.hasSuffix("/") ? absolute + "/" : absolute
  }
}

extension ModelParts {
  /// The paths, by their names in a saved run.
  fileprivate var named: KeyValuePairs<String, String?> {
    [
      "dit_weight": transformer, "vae_path": autoencoder, "text_encoder_path": textEncoder,
      "text_encoder_2_path": textEncoder2, "tokenizer_path": tokenizer, "tokenizer_2_path": tokenizer2,
    ]
  }
}

extension CheckpointOptions {
  /// Takes a saved run's checkpoint where no flag names another.
  fileprivate mutating func fill(from details: [String: String]) {
    model = model ?? details["model"]
    ditWeight = ditWeight ?? details["dit_weight"]
    loadKey = loadKey ?? details["load_key"]
    vaePath = vaePath ?? details["vae_path"]
    textEncoderPath = textEncoderPath ?? details["text_encoder_path"]
    textEncoder2Path = textEncoder2Path ?? details["text_encoder_2_path"]
    tokenizerPath = tokenizerPath ?? details["tokenizer_path"]
    tokenizer2Path = tokenizer2Path ?? details["tokenizer_2_path"]
  }
}

/// Takes over a saved run's settings.
enum ResumedFlags {
  /// The flags behind the parts of an identity.
  static let names = [
    "prompt": "--prompt", "negativePrompt": "--neg-prompt", "seed": "--seed", "height": "--video-size",
    "width": "--video-size", "frames": "--video-length", "steps": "--infer-steps", "cfgScale": "--cfg-scale",
    "embeddedGuidance": "--embedded-cfg-scale", "flowShift": "--flow-shift", "flowReverse": "--flow-reverse",
    "initialNoise": "--initial-noise", "device": "--device", "cache": "--cache",
  ]

  /// How many ranks a run was saved on.
  static func ranks(of run: SavedRun) -> Int? { run.details["ranks"].flatMap { Int($0) } }

  /// Fills the flags that were not given.
  /// - Parameter ranks: how many ranks go on. The same number shares the work as before, so that it gives the same bits.
  static func fill(_ command: inout GenerateCommand, from run: SavedRun, ranks: Int) {
    let (values, details) = (run.identity.values, run.details)
    func value<Value: LosslessStringConvertible>(_ given: Value?, _ name: String) -> Value? {
      given ?? values[name].flatMap { Value($0) }
    }
    if command.prompt.promptFile == nil { command.prompt.prompt = value(command.prompt.prompt, "prompt") }
    command.prompt.negPrompt = value(command.prompt.negPrompt, "negativePrompt").flatMap { $0.isEmpty ? nil : $0 }
    command.prompt.seed = value(command.prompt.seed, "seed")
    if command.video.videoSize.isEmpty {
      command.video.videoSize = ["height", "width"].compactMap { values[$0].flatMap { Int($0) } }
    }
    command.video.videoLength = value(command.video.videoLength, "frames")
    command.video.fps = command.video.fps ?? details["fps"].flatMap { Int($0) }
    command.sampling.inferSteps = value(command.sampling.inferSteps, "steps")
    command.sampling.cfgScale = value(command.sampling.cfgScale, "cfgScale")
    command.sampling.embeddedCfgScale = value(command.sampling.embeddedCfgScale, "embeddedGuidance")
    command.sampling.flowShift = value(command.sampling.flowShift, "flowShift")
    command.sampling.flowReverse = value(command.sampling.flowReverse, "flowReverse")
    if command.cache.cache == nil, !command.cache.teacache, command.cache.cacheOption.isEmpty {
      command.cache.cache = details["cache"]
      command.cache.cacheOption = details["cache_options"].map { $0.split(separator: "\n").map(String.init) } ?? []
    }
    command.checkpoint.fill(from: details)
    command.device.device = command.device.device ?? details["device"]
    command.device.precision = command.device.precision ?? details["precision"]
    command.device.textEncoderPrecision = command.device.textEncoderPrecision ?? details["text_encoder_precision"]
    command.device.vaePrecision = command.device.vaePrecision ?? details["vae_precision"]
    if (Self.ranks(of: run) ?? 1) == ranks {
      command.device.threads = command.device.threads ?? details["threads"].flatMap { Int($0) }
      command.ranks.fill(from: details)
    }
    command.running.vaeTiling = command.running.vaeTiling ?? details["vae_tiling"].flatMap { Bool($0) }
    command.output.output = command.output.output ?? details["output"]
  }
}
