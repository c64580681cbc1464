import ArgumentParser
import Foundation
import Generation
import Recipes

/// The flag that names a configuration file.
struct ConfigurationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Flags from a YAML file of the Ascend recipes (model_args, world_size, dit_cache); those given here win.",
      valueName: "file.yaml"))
  var config: String?
}

extension GenerateCommand {
  /// Takes the flags that the command line does not have from the file of `--config`.
  mutating func fillFromConfiguration() throws {
    guard let path = configuration.config else { return }
    self = try RefusedBeforeWork.checking {
      let recipe = try Recipe(contentsOf: path)
      let line = try CommandWords(Array(CommandLine.arguments.dropFirst()))
      var command = try Self.parsed(recipe.arguments, beside: line)
      if !line.given.contains("--dit-weight"), let weight = command.checkpoint.ditWeight {
        command.checkpoint.ditWeight = Self.weight(at: weight, base: command.checkpoint.model)
      }
      command.ranks.ranks = command.ranks.ranks ?? recipe.worldSize
      try recipe.cache?.fill(&command)
      // It has been read, and may be a pipe.
      command.configuration.config = nil
      return command
    }
  }

  /// The command line with the recipe's flags before its own.
  private static func parsed(_ arguments: RecipeArguments, beside line: CommandWords) throws -> GenerateCommand {
    let entries = arguments.entries.filter { !line.replaces($0) }
    do { return try parse(entries.flatMap(line.rest(of:)) + line.words(of: self)) } catch {
      for entry in entries {
        do { _ = try parse(entry.words) } catch {
          throw RequestError(
            "invalid value", at: entry.place, expected: "what --\(entry.key) takes", found: entry.value,
            remedy: message(for: error))
        }
      }
      throw error
    }
  }

  /// The recipe looks for relative weights in the folder of the checkpoint; earlier ones, where the program was started.
  private static func weight(at path: String, base: String?) -> String {
    guard let base, !path.hasPrefix("/") else { return path }
    let joined = base + "/" + path
    return !FileManager.default.fileExists(atPath: joined) && FileManager.default.fileExists(atPath: path)
      ? path : joined
  }
}

extension CommandWords {
  /// Flags of which the command line's take the place of the recipe's, beside those of the same name.
  private static let groups = [["prompt", "prompt-file"], ["output", "save-path"]]

  /// Whether the command line says what an entry says.
  func replaces(_ entry: RecipeArguments.Entry) -> Bool {
    let keys = Set(given.map { Self.key($0) })
    // Parameters of a rule go with it, and each may be given alone.
    if !keys.isDisjoint(with: ["cache", "teacache", "fidelity-budget"]) {
      if entry.choosesCache || ["cache-option", "rel-l1-thresh"].contains(entry.key) { return true }
    }
    if entry.key == "cache-option" { return false }
    if entry.key == "rel-l1-thresh", cacheOptions.contains("rel_l1_thresh") { return true }
    let group = Self.groups.first { $0.contains(entry.key) } ?? [entry.key]
    return !keys.isDisjoint(with: group)
  }

  /// The words of an entry that the command line does not replace.
  func rest(of entry: RecipeArguments.Entry) -> [String] {
    if entry.key != "cache-option" { return entry.words }
    return entry.words.filter { !cacheOptions.contains(Self.option($0.drop { $0 != "=" }.dropFirst())) }
  }

  /// The parameters of a rule that the command line gives.
  private var cacheOptions: Set<String> {
    Set((repeated["--cache-option"] ?? []).map { Self.option($0[...]) })
      .union(given.contains("--rel_l1_thresh") ? ["rel_l1_thresh"] : [])
  }

  private static func option(_ text: Substring) -> String { String(text.prefix { $0 != "=" }) }

  private static func key(_ flag: String) -> String {
    let name = flag.dropFirst(2).replacing("_", with: "-")
    return ["no-flow-reverse", "no-vae-tiling", "no-use-vae-parallel"].contains(name)
      ? String(name.dropFirst(3)) : String(name)
  }
}

extension RecipeCache {
  /// Fills the cache's flags, unless one of them chooses a rule itself.
  func fill(_ command: inout GenerateCommand) throws(RequestError) {
    if !isSeparate, (command.sampling.cfgScale ?? 1) > 1 { throw sharedDecision }
    guard let method, command.cache.cache == nil, !command.cache.teacache, command.cache.fidelityBudget == nil else {
      return
    }
    var given = Set(command.cache.cacheOption.compactMap { $0.split(separator: "=").first.map(String.init) })
    if command.cache.relativeThreshold != nil { given.insert("rel_l1_thresh") }
    command.cache.cache = method
    command.cache.cacheOption += options.filter { !given.contains($0.key) }.map { "\($0.key)=\($0.value)" }.sorted()
  }
}
