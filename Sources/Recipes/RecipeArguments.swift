import Generation

/// The section `model_args`: flags of `hyvideo generate` without their dashes, and those of the recipe's script.
public struct RecipeArguments {
  /// A flag that the section sets.
  public struct Entry {
    /// The flag without its dashes, spelled with dashes alone, and without `no-`.
    public let key: String
    /// As it is in the file; of a list, each in turn.
    public let value: String
    /// What a command line would have. Empty where a flag stays off.
    public let words: [String]
    /// File, line and key, for messages.
    public let place: String

    /// Whether it says which rule skips steps.
    public var choosesCache: Bool { ["cache", "teacache", "fidelity-budget"].contains(key) }
  }

  /// In the order of `flags`.
  public private(set) var entries: [Entry] = []

  /// What a flag takes.
  ///
  /// `on` can only be switched on; `either` has a form with `no-` too, which is a key of its own.
  enum Kind { case text, texts, integer, seed, number, size, on, either }

  /// Every flag of `hyvideo generate` but those that name a configuration or print help, as it is spelled there.
  static let flags: KeyValuePairs<String, Kind> = [
    "prompt": .text, "prompt-file": .text, "neg-prompt": .text, "seed": .seed, "num-videos": .integer,
    "model": .text, "vae-path": .text, "dit-weight": .text, "load-key": .text, "text-encoder-path": .text,
    "text-encoder-2-path": .text, "tokenizer-path": .text, "tokenizer-2-path": .text,
    "video-size": .size, "video-length": .integer, "fps": .integer,
    "infer-steps": .integer, "cfg-scale": .number, "embedded-cfg-scale": .number, "flow-shift": .number,
    "flow-reverse": .either,
    "cache": .text, "cache-option": .texts, "teacache": .on, "rel_l1_thresh": .number, "fidelity-budget": .number,
    "calibration": .text, "measure-fidelity": .on,
    "device": .text, "threads": .integer, "precision": .text, "text-encoder-precision": .text, "vae-precision": .text,
    "use-cpu-offload": .on, "vae-tiling": .either, "checkpoint-every": .integer, "no-check": .on, "progress": .text,
    "preview": .integer, "resume": .text,
    "ranks": .integer, "ulysses-degree": .integer, "ring-degree": .integer, "use-vae-parallel": .either,
    "cfg-parallel": .on,
    "memory-limit": .text, "device-memory-limit": .text, "force": .on, "dry-run": .on,
    "save-path": .text, "output": .text, "initial-noise": .text, "save-latents": .text, "save-frames": .text,
    "report": .text, "profile": .text, "prof-dit": .on,
  ]

  /// Keys that may only say what this program does anyway.
  private static let fixed: [(key: String, allowed: [String])] = [
    ("batch-size", ["1"]), ("flow-solver", ["euler"]), ("denoise-type", ["flow"]), ("latent-channels", ["16"]),
    ("vae", ["884-16c-hy"]), ("rope-theta", ["256"]), ("text-encoder", ["llm"]), ("tokenizer", ["llm"]),
    ("text-encoder-2", ["clipL"]), ("tokenizer-2", ["clipL"]), ("text-len", ["256"]), ("text-len-2", ["77"]),
    ("text-states-dim", ["4096"]), ("text-states-dim-2", ["768"]), ("hidden-state-skip-layer", ["2"]),
    ("prompt-template", ["dit-llm-encode"]), ("prompt-template-video", ["dit-llm-encode-video"]),
    ("sparse-method", ["no_sparse"]), ("seed-type", ["auto", "fixed"]), ("model-resolution", ["540p", "720p"]),
  ]

  /// Options of the recipe's script that this program does not have, and why not or what is there instead.
  private static let absent: KeyValuePairs<String, String> = [
    "use-fp8": "leave it out: 8-bit weights are known by their file (dit-weight), and products are not made in fp8",
    "fa-perblock-fp8": "leave it out: attention is not made in fp8",
    "fa-mxfp8": "leave it out: attention is not made in fp8", "mm-mxfp8": "leave it out: products are not made in fp8",
    "prof-vae": "use profile, which has all stages", "prof-prefix": "use profile, which names a file",
    "extract_q_k_data": "leave it out: sparse attention is not built",
    "use-linear-quadratic-schedule": "use flow-shift", "apply-final-norm": "leave it out",
    "save-path-suffix": "write the whole folder as save-path", "name-suffix": "use output",
    "cache-config": "use the section dit_cache", "sparse-attention-config": "leave it out: every token attends to all",
    "prompt-path": "use prompt-file", "text-encoder-precision-2": "use text-encoder-precision, for both text encoders",
    "config": "write its keys here: a configuration names no other",
  ]

  init(_ given: ConfigurationSection?) throws(RequestError) {
    guard var section = given else { return }
    let base = try section.text("model-base")
    // Of the recipe's script it is the network's name.
    if let model = try section.text("model"), model.hasPrefix("HYVideo-") {
      try section.require("model", ["HYVideo-T/2-cfgdistill", "HYVideo-T/2"])
    } else if let base {
      if try section.text("model") != nil {
        throw section.invalid("model", expected: "it or model-base", found: "both", remedy: "leave one out")
      }
      entries.append(
        Entry(key: "model", value: base, words: ["--model=\(base)"], place: section.location("model-base")))
    }
    for (flag, kind) in Self.flags {
      guard let (value, words) = try section.words(flag, kind) else { continue }
      if flag == "model", base != nil || value.hasPrefix("HYVideo-") { continue }
      entries.append(
        Entry(key: flag.replacing("_", with: "-"), value: value, words: words, place: section.location(flag)))
    }
    for (key, allowed) in Self.fixed { try section.require(key, allowed) }
    for (key, remedy) in Self.absent { try section.requireOff(key, remedy: remedy) }
    // Any size is shared out to any ranks, the same seed gives the same video, and activations are as the flags of precision say.
    for key in ["ulysses-anything", "reproduce", "disable-autocast"] { _ = try section.flag(key) }
    // These matter only with options that are refused above.
    for key in ["extract_path", "linear-schedule-end"] { _ = try section.text(key) }
    try section.finish()
  }
}

extension ConfigurationSection {
  /// The value of a flag and the words that a command line would have for it; nil where it is not set.
  fileprivate mutating func words(
    _ flag: String, _ kind: RecipeArguments.Kind
  ) throws(RequestError) -> (value: String, words: [String])? {
    func single(_ value: String?) -> (String, [String])? { value.map { ($0, ["--\(flag)=\($0)"]) } }
    switch kind {
    case .text: return single(try text(flag))
    case .integer: return single(try integer(flag).map { "\($0)" })
    case .number: return single(try number(flag).map { "\($0)" })
    case .seed: return single(try seed(flag))
    case .texts:
      guard let values = try texts(flag) else { return nil }
      return (values.joined(separator: " "), values.map { "--\(flag)=\($0)" })
    case .size:
      guard let size = try integers(flag) else { return nil }
      guard [1, 2].contains(size.count) else {
        throw invalid(
          flag, expected: "height and width", found: "\(size.count) numbers", remedy: "for example [720, 1280]")
      }
      guard let height = size.first, let width = size.last, height > 0, width > 0 else {
        throw invalid(flag, expected: "numbers above 0", found: "\(size)", remedy: "for example [720, 1280]")
      }
      return ("\(height) \(width)", ["--\(flag)", "\(height)", "\(width)"])
    case .on:
      guard let isOn = try self.flag(flag) else { return nil }
      return ("\(isOn)", isOn ? ["--\(flag)"] : [])
    case .either:
      guard let isOn = try either(flag) else { return nil }
      return ("\(isOn)", [isOn ? "--\(flag)" : "--no-\(flag)"])
    }
  }
}
