public import Generation

/// A configuration of the Ascend recipes for HunyuanVideo (`cann-recipes-infer`, `models/hunyuan-video/config`), as it is, and with every
/// flag of `hyvideo generate` among its arguments.
public struct Recipe {
  public let arguments: RecipeArguments
  /// The ranks that it starts; nil where it does not say.
  public let worldSize: Int?
  public let cache: RecipeCache?

  public init(contentsOf path: String) throws(RequestError) { try self.init(ConfigurationFile(contentsOf: path)) }

  /// - Parameter file: its name, for messages.
  public init(bytes: [UInt8], file: String) throws(RequestError) {
    try self.init(ConfigurationFile(bytes: bytes, file: file))
  }

  private init(_ file: ConfigurationFile) throws(RequestError) {
    var top = file.top
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
    if self.cache?.method != nil, let entry = self.arguments.entries.first(where: { $0.choosesCache }) {
      throw RequestError(
        "two choices of a cache", at: entry.place, expected: "one of this key and the section dit_cache", found: "both",
        remedy: "leave one out")
    }
    if let worldSize, let entry = self.arguments.entries.first(where: { $0.key == "ranks" }),
      entry.value != "\(worldSize)"
    {
      throw RequestError(
        "two numbers of ranks", at: entry.place, expected: "\(worldSize), as world_size says", found: entry.value,
        remedy: "leave one out")
    }
  }
}
