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
  @Option(
    help: ArgumentHelp(
      "Choose the cache that saved most while every calibrated prompt stayed this close to the full run.",
      valueName: "dB"))
  var fidelityBudget: Double?
  @Option(help: ArgumentHelp("A file of hyvideo calibrate. Default: found by itself.", valueName: "file.json"))
  var calibration: String?
  @Flag(help: "Also run without cache, and print and report what the cache cost beside what it saved.")
  var measureFidelity = false

  /// Stands for a calibration where it is not known yet whether there is one.
  private static let anyFit = [
    GuidanceBranch.positive: StepCacheFit(teaCacheCoefficients: [1], magnitudeRatios: [1])
  ]

  /// Whether any flag asks for a cache.
  var isUsed: Bool { teacache || fidelityBudget != nil || (cache ?? "none").lowercased() != "none" }

  /// A rule as the flags say it.
  /// - Parameter options: each as `--cache-option` takes it.
  static func flags(_ method: String, options: [some StringProtocol]) -> String {
    (["--cache \(method)"] + options.map { "--cache-option \($0)" }).joined(separator: " ")
  }

  /// Refuses flags that cannot work whatever a calibration says.
  func check() throws(RequestError) {
    if let fidelityBudget {
      guard cache == nil, !teacache, cacheOption.isEmpty, relativeThreshold == nil else {
        throw RequestError(
          "two choices of a cache", at: "--fidelity-budget", expected: "no other cache flags", found: "some",
          remedy: "leave them out")
      }
      guard fidelityBudget.isFinite, fidelityBudget > 0 else {
        throw RequestError(
          "invalid budget", at: "--fidelity-budget", expected: "decibels above 0", found: "\(fidelityBudget)",
          remedy: "for example --fidelity-budget 30")
      }
      return
    }
    let settings = try StepCacheSettings(method: method(), options: options(), fitted: Self.anyFit)
    guard settings == .none else { return }
    for (flag, isGiven) in [("--measure-fidelity", measureFidelity), ("--calibration", calibration != nil)]
    where isGiven {
      throw RequestError("no cache", at: flag, expected: "a cache", found: "none", remedy: "add --cache METHOD")
    }
  }

  /// The rule that the flags ask for, with what has been calibrated for the checkpoint, and what to say about it.
  func resolved(
    for request: GenerationRequest, checkpointSHA256: String
  ) throws(RequestError) -> (settings: StepCacheSettings, notes: [String], warnings: [String]) {
    let path = calibration ?? CalibrationFolder.path(request, checkpointSHA256: checkpointSHA256)
    let found = try StepCacheCalibration(contentsOf: path)
    if calibration != nil {
      guard let found, found.provenance.checkpointSHA256 == checkpointSHA256 else {
        throw RequestError(
          "no calibration", at: path, expected: "a calibration of this checkpoint",
          found: found == nil ? "no file" : "one of another", remedy: "run hyvideo calibrate")
      }
    }
    if let fidelityBudget { return try chosen(fidelityBudget, found, for: request, path: path) }
    let (method, options) = (try method(), try options())
    let settings = try StepCacheSettings(
      method: method, options: options, fitted: found?.fitted ?? [:])
    let fitted =
      switch settings {
      case .teaCache, .ascendTeaCache: options["coefficients"] == nil
      case .magCache: options["mag_ratios"] == nil
      default: false
      }
    guard fitted, let found else { return (settings, [], []) }
    let differences = found.differences(from: request).map { "\($0.flag) \($0.measured), not \($0.asked)" }
    return (
      settings, ["\(method) uses the calibration \(path)"],
      differences.isEmpty ? [] : ["the calibration was made with \(differences.joined(separator: ", "))"]
    )
  }

  /// The calibrated rule that saves most within a budget.
  private func chosen(
    _ budget: Double, _ calibration: StepCacheCalibration?, for request: GenerationRequest, path: String
  ) throws(RequestError) -> (settings: StepCacheSettings, notes: [String], warnings: [String]) {
    guard let calibration, !calibration.points.isEmpty else {
      throw RequestError(
        "no calibration", at: "--fidelity-budget", expected: "measured rules at \(path)", found: "none",
        remedy: "run hyvideo calibrate with this size, number of steps and guidance")
    }
    if let difference = calibration.differences(from: request).first {
      throw RequestError(
        "calibration of other videos", at: path, expected: "one with \(difference.flag) \(difference.asked)",
        found: difference.measured, remedy: "run hyvideo calibrate with this size, number of steps and guidance")
    }
    guard let point = calibration.point(above: budget) else {
      return (.none, [], ["no cache stays above \(budget) dB; every step is computed (calibration \(path))"])
    }
    let settings = try StepCacheSettings(
      method: point.method, options: point.options, fitted: calibration.fitted)
    return (settings, ["for \(budget) dB, by \(path): \(point.line)"], [])
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

extension StepCacheSettings {
  /// All parameters as `--cache-option` takes them, sorted.
  var optionLines: [String] { options.map { "\($0.key)=\($0.value)" }.sorted() }
}
