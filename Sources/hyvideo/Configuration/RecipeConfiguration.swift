import ArgumentParser
import Foundation
import Generation

/// The flag that names a configuration file.
struct ConfigurationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Flags from a YAML file of the Ascend recipes (model_args, world_size, dit_cache); those given here win.",
      valueName: "file.yaml"))
  var config: String?
}

extension GenerateCommand {
  /// Fills the flags that are not given from the file of `--config`.
  mutating func fillFromConfiguration() throws {
    guard let path = configuration.config else { return }
    try RefusedBeforeWork.checking {
      let recipe = try RecipeConfiguration(contentsOf: path)
      recipe.arguments.fill(&self)
      ranks.ranks = ranks.ranks ?? recipe.worldSize
      try recipe.cache?.fill(&self)
    }
  }
}

/// A configuration of the Ascend recipes for HunyuanVideo (`cann-recipes-infer`, `models/hunyuan-video/config`), as it is.
struct RecipeConfiguration {
  let arguments: RecipeArguments
  let worldSize: Int?
  let cache: RecipeCache?

  init(contentsOf path: String) throws(RequestError) {
    var top = try ConfigurationFile(contentsOf: path).top
    try top.require("model_name", ["hunyuan-video"])
    try top.require("entry_script", ["sample_video.py"])
    // The port at which the recipe's processes meet; here the launcher sees to that.
    _ = try top.integer("master_port")
    worldSize = try top.integer("world_size")
    try top.requireOff("env_vars")
    let arguments = try top.section("model_args")
    let cache = try top.section("dit_cache")
    let sparse = try top.section("sparse")
    try top.finish()
    if var sparse {
      let method = try sparse.text("method")
      if method != "no_sparse" {
        throw sparse.notBuilt(
          "method", expected: "no_sparse", found: method ?? "nothing",
          remedy: "leave the section sparse out: every token attends to all")
      }
      sparse.skip(["block_size_Q", "block_size_K", "model", "params"])
      try sparse.finish()
    }
    self.arguments = try RecipeArguments(arguments)
    self.cache = try cache.map { section throws(RequestError) in try RecipeCache(section) }
  }
}

/// The section `dit_cache`: a rule by the recipe's name, with the recipe's values for what the section leaves open.
struct RecipeCache {
  private let section: ConfigurationSection
  private let isSeparate: Bool
  /// The rule by its name here; nil for none.
  private let method: String?
  private let options: [String: String]

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

  /// Fills the cache's flags, unless one of them chooses a rule itself.
  func fill(_ command: inout GenerateCommand) throws(RequestError) {
    if !isSeparate, (command.sampling.cfgScale ?? 1) > 1 {
      throw section.notBuilt(
        "enable_separate_cfg", expected: "true with --cfg-scale above 1: each pass decides for itself", found: "false",
        remedy: "leave it out")
    }
    guard let method, command.cache.cache == nil, !command.cache.teacache, command.cache.fidelityBudget == nil else {
      return
    }
    var given = Set(command.cache.cacheOption.compactMap { $0.split(separator: "=").first.map(String.init) })
    if command.cache.relativeThreshold != nil { given.insert("rel_l1_thresh") }
    command.cache.cache = method
    command.cache.cacheOption += options.filter { !given.contains($0.key) }.map { "\($0.key)=\($0.value)" }.sorted()
  }
}
