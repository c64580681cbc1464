public import Generation

/// The section `dit_cache`: a rule by the recipe's name, with the recipe's values for what the section leaves open.
public struct RecipeCache {
  private let section: ConfigurationSection
  /// Whether each pass of a step decides for itself.
  public let isSeparate: Bool
  /// The rule by its name here; nil for none.
  public let method: String?
  public let options: [String: String]

  init(_ given: ConfigurationSection) throws(RequestError) {
    var section = given
    let recipe = try section.text("method") ?? "NoCache"
    isSeparate = try section.flag("enable_separate_cfg") ?? true
    var params = try section.section("params")
    try section.finish()
    self.section = section

    // A file may hold the parameters of several rules; those of the rule count, all are checked.
    let threshold = try params?.number("rel_l1_thresh")
    let coefficients = try params?.numbers("coefficients")
    let warmup = try params?.integer("warmup")
    let derivatives = try params?.integer("n_derivatives")
    let interval = try params?.integer("skip_interval_steps")
    let cutoff = try params?.integer("cutoff_steps")
    // Where the differences are kept: with this backend they are in the host's memory either way.
    _ = try params?.flag("offload")
    try params?.finish()

    switch recipe {
    case "NoCache": (method, options) = (nil, [:])
    case "FBCache":
      // The recipe compares the first block's whole output.
      (method, options) = ("fbcache", ["signal": "output", "rel_l1_thresh": "\(threshold ?? 0.05)"])
    case "TeaCache":
      // A polynomial that was fitted to the checkpoint would take the place of one that is not given.
      let published = try StepCacheSettings(method: "teacache-ascend").options["coefficients"]
      (method, options) = (
        "teacache-ascend",
        [
          "rel_l1_thresh": "\(threshold ?? 0.15)", "warmup": "\(warmup ?? 2)",
          "coefficients": coefficients.map { $0.map { "\($0)" }.joined(separator: ",") } ?? published ?? "",
        ]
      )
    case "TaylorSeer":
      (method, options) = (
        "taylorseer",
        [
          "n_derivatives": "\(derivatives ?? 3)", "skip_interval_steps": "\(interval ?? 4)", "warmup": "\(warmup ?? 3)",
          "cutoff_steps": "\(cutoff ?? 1)",
        ]
      )
    default:
      var named = given
      try named.require("method", ["NoCache", "FBCache", "TeaCache", "TaylorSeer"])
      (method, options) = (nil, [:])
    }
    guard let method else { return }
    do { _ = try StepCacheSettings(method: method, options: options) } catch { throw section.placed(error) }
  }

  /// Why both passes of true guidance cannot decide as one.
  public var sharedDecision: RequestError {
    section.notBuilt(
      "enable_separate_cfg", expected: "true with --cfg-scale above 1: each pass decides for itself", found: "false",
      remedy: "leave it out")
  }
}
