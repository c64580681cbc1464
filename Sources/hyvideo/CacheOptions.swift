import ArgumentParser
import Generation

/// The flags that choose a step cache.
struct CacheOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Skip steps that change little: \(StepCacheSettings.methods.joined(separator: ", ")). Default: none.",
      valueName: "method"))
  var cache: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A parameter of the cache; may be given several times.", valueName: "key=value"))
  var cacheOption: [String] = []
  @Flag(help: "Short for --cache teacache, with a threshold of 0.1.") var teacache = false
  @Option(
    name: .customLong("rel_l1_thresh"),
    help: ArgumentHelp("TeaCache's threshold: 0.1 is closer to the full run, 0.15 faster.", valueName: "threshold"))
  var relativeThreshold: Double?
  @Flag(help: "Also run without cache, and print and report what the cache cost beside what it saved.")
  var measureFidelity = false

  /// The rule that the flags ask for, from what has been calibrated for the checkpoint.
  func settings(_ calibration: StepCacheCalibration?) throws(RequestError) -> StepCacheSettings {
    let settings = try StepCacheSettings(method: method(), options: options(), calibration: calibration)
    if measureFidelity, settings == .none {
      throw RequestError(
        "nothing to measure", at: "--measure-fidelity", expected: "a cache", found: "none", remedy: "add --cache METHOD"
      )
    }
    return settings
  }

  private func method() throws(RequestError) -> String {
    guard teacache else { return cache ?? "none" }
    if let cache, cache.lowercased() != "teacache" {
      throw RequestError(
        "two caches", at: "--teacache, --cache", expected: "one of them", found: "both", remedy: "leave one out")
    }
    return "teacache"
  }

  private func options() throws(RequestError) -> [String: String] {
    var options: [String: String] = [:]
    func set(_ key: String, _ value: String, _ flag: String) throws(RequestError) {
      if options.updateValue(value, forKey: key) != nil {
        throw RequestError(
          "cache option given twice", at: flag, expected: "\(key) once", found: "twice", remedy: "leave one out")
      }
    }
    for text in cacheOption {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, !parts[0].isEmpty else {
        throw RequestError(
          "invalid cache option", at: "--cache-option", expected: "key=value", found: text,
          remedy: "for example --cache-option thresh=0.05")
      }
      try set(parts[0], parts[1], "--cache-option \(text)")
    }
    if let relativeThreshold {
      guard try method().lowercased().hasPrefix("teacache") else {
        throw RequestError(
          "threshold without its cache", at: "--rel_l1_thresh", expected: "--teacache", found: try method(),
          remedy: "add --teacache, or use --cache-option")
      }
      try set("rel_l1_thresh", "\(relativeThreshold)", "--rel_l1_thresh")
    } else if teacache, options["rel_l1_thresh"] == nil {
      options["rel_l1_thresh"] = "0.1"
    }
    return options
  }
}
