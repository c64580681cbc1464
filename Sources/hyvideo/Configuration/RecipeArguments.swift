import Foundation
import Generation

/// The section `model_args`: flags of the recipe's script without their dashes.
struct RecipeArguments {
  private var texts: [String: String] = [:]
  private var integers: [String: Int] = [:]
  private var numbers: [String: Double] = [:]
  private var flags: [String: Bool] = [:]
  private var videoSize: [Int]?

  /// Keys that may only say what this program does anyway.
  private static let fixed: [(key: String, allowed: [String])] = [
    ("batch-size", ["1"]), ("flow-solver", ["euler"]), ("denoise-type", ["flow"]), ("latent-channels", ["16"]),
    ("vae", ["884-16c-hy"]), ("rope-theta", ["256"]), ("text-encoder", ["llm"]), ("tokenizer", ["llm"]),
    ("text-encoder-2", ["clipL"]), ("tokenizer-2", ["clipL"]), ("text-len", ["256"]), ("text-len-2", ["77"]),
    ("text-states-dim", ["4096"]), ("text-states-dim-2", ["768"]), ("hidden-state-skip-layer", ["2"]),
    ("prompt-template", ["dit-llm-encode"]), ("prompt-template-video", ["dit-llm-encode-video"]),
    ("sparse-method", ["no_sparse"]), ("seed-type", ["auto", "fixed"]), ("device", ["cpu"]),
    // Activations are float32 and weights as they are stored, whatever the networks' sizes say.
    ("precision", ["bf16", "fp32"]), ("model", ["HYVideo-T/2-cfgdistill", "HYVideo-T/2"]),
    ("model-resolution", ["540p", "720p"]),
  ]

  /// Options of the recipe's script that this program does not have.
  private static let absent = [
    "fa-perblock-fp8", "fa-mxfp8", "mm-mxfp8", "prof-vae", "prof-prefix", "extract_q_k_data",
    "use-linear-quadratic-schedule", "apply-final-norm", "save-path-suffix", "name-suffix", "cache-config",
    "sparse-attention-config", "prompt-path", "vae-precision", "text-encoder-precision", "text-encoder-precision-2",
  ]

  init(_ section: ConfigurationSection?) throws(RequestError) {
    guard var section else { return }
    for key in ["prompt", "neg-prompt", "save-path", "model-base", "dit-weight", "load-key"] {
      texts[key] = try section.text(key)
    }
    for key in ["video-length", "infer-steps", "num-videos", "ulysses-degree", "ring-degree"] {
      integers[key] = try section.integer(key)
    }
    for key in ["cfg-scale", "embedded-cfg-scale", "flow-shift"] { numbers[key] = try section.number(key) }
    for key in ["flow-reverse", "use-cpu-offload", "use-vae-parallel", "vae-tiling", "prof-dit"] {
      flags[key] = try section.flag(key)
    }
    integers["seed"] = try section.integer("seed")
    if let seed = integers["seed"], seed < 0 {
      throw section.invalid("seed", expected: "0 or more", found: "\(seed)", remedy: "leave it out to draw one")
    }
    videoSize = try section.integers("video-size")
    if let size = videoSize, ![1, 2].contains(size.count) {
      throw section.invalid(
        "video-size", expected: "height and width", found: "\(size.count) numbers", remedy: "for example [720, 1280]")
    }
    for (key, allowed) in Self.fixed { try section.require(key, allowed) }
    for key in Self.absent { try section.requireOff(key) }
    // Weights with 8 bits are recognized, any size is shared out to any ranks, and the same seed gives the same video;
    // where queries and keys would be written matters only where they are.
    for key in ["use-fp8", "ulysses-anything", "reproduce", "disable-autocast"] { _ = try section.flag(key) }
    section.skip(["extract_path", "linear-schedule-end"])
    try section.finish()
  }

  /// Fills the flags that are not given.
  func fill(_ command: inout GenerateCommand) {
    func fill<Value>(_ flag: inout Value?, _ value: Value?) { flag = flag ?? value }
    if command.prompt.promptFile == nil { fill(&command.prompt.prompt, texts["prompt"]) }
    fill(&command.prompt.negPrompt, texts["neg-prompt"])
    fill(&command.prompt.seed, integers["seed"].map { UInt64($0) })
    fill(&command.prompt.numVideos, integers["num-videos"])
    if command.video.videoSize.isEmpty, let videoSize { command.video.videoSize = [videoSize[0], videoSize.last ?? 0] }
    fill(&command.video.videoLength, integers["video-length"])
    fill(&command.sampling.inferSteps, integers["infer-steps"])
    fill(&command.sampling.cfgScale, numbers["cfg-scale"].map { Float($0) })
    fill(&command.sampling.embeddedCfgScale, numbers["embedded-cfg-scale"].map { Float($0) })
    fill(&command.sampling.flowShift, numbers["flow-shift"].map { Float($0) })
    fill(&command.sampling.flowReverse, flags["flow-reverse"])
    fill(&command.running.vaeTiling, flags["vae-tiling"])
    if flags["use-cpu-offload"] == true { command.running.useCpuOffload = true }
    if flags["prof-dit"] == true { command.output.profDit = true }
    fill(&command.ranks.ulyssesDegree, integers["ulysses-degree"])
    fill(&command.ranks.ringDegree, integers["ring-degree"])
    fill(&command.ranks.useVaeParallel, flags["use-vae-parallel"])
    if command.output.output == nil { fill(&command.output.savePath, texts["save-path"]) }
    fill(&command.checkpoint.model, texts["model-base"])
    fill(&command.checkpoint.loadKey, texts["load-key"])
    fill(&command.checkpoint.ditWeight, texts["dit-weight"].map { weight(at: $0, base: command.checkpoint.model) })
  }

  /// The recipe looks for relative weights in the folder of the checkpoint; earlier ones, where the program was started.
  private func weight(at path: String, base: String?) -> String {
    guard let base, !path.hasPrefix("/") else { return path }
    let joined = base + "/" + path
    return !FileManager.default.fileExists(atPath: joined) && FileManager.default.fileExists(atPath: path)
      ? path : joined
  }
}
