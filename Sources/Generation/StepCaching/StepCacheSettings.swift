public import Collectives
public import HunyuanVideo

/// A cache rule with its parameters.
public enum StepCacheSettings: Sendable, Hashable {
  case none
  case teaCache(TeaCache.Options)
  case ascendTeaCache(AscendTeaCache.Options)
  case firstBlockCache(FirstBlockCache.Options)
  case taylorSeer(TaylorSeer.Options)
  case easyCache(EasyCache.Options)
  case magCache(MagCache.Options)

  /// Whether steps are skipped by how much changes alone, whatever their numbers.
  public var decidesByChange: Bool {
    switch self {
    case .teaCache, .ascendTeaCache, .firstBlockCache, .easyCache: true
    case .none, .taylorSeer, .magCache: false
    }
  }

  /// The names of all rules, as `--cache` takes them.
  public static let methods = ["none", "teacache", "teacache-ascend", "fbcache", "taylorseer", "easycache", "magcache"]

  /// Reads a rule and its options.
  /// - Parameters:
  ///   - options: values by name; what is absent has its published value.
  ///   - fitted: what is fitted to the checkpoint: TeaCache's polynomials, instead of the published one, and MagCache's
  ///     ratios. A branch without has the positive one's. An option that is given goes before either.
  /// - Throws: `RequestError` for an unknown rule or option and for a value that is out of range.
  public init(
    method: String, options: [String: String] = [:], fitted: [GuidanceBranch: StepCacheFit] = [:]
  ) throws(RequestError) {
    var reader = StepCacheOptions(rule: method, options)
    switch method.lowercased() {
    case "none": self = .none
    case "teacache":
      self = .teaCache(try .init(&reader, published: TeaCache.coefficients, fitted: fitted))
    case "teacache-ascend":
      self = .ascendTeaCache(try .init(&reader, fitted: fitted))
    case "fbcache": self = .firstBlockCache(try .init(&reader))
    case "taylorseer": self = .taylorSeer(try .init(&reader))
    case "easycache": self = .easyCache(try .init(&reader))
    case "magcache": self = .magCache(try .init(&reader, fitted: fitted))
    default:
      throw RequestError(
        "unknown cache", at: "--cache", expected: Self.methods.joined(separator: ", "), found: method,
        remedy: "see docs/caches.md")
    }
    try reader.finish()
  }

  /// The rule's name.
  public var method: String {
    switch self {
    case .none: "none"
    case .teaCache: "teacache"
    case .ascendTeaCache: "teacache-ascend"
    case .firstBlockCache: "fbcache"
    case .taylorSeer: "taylorseer"
    case .easyCache: "easycache"
    case .magCache: "magcache"
    }
  }

  /// All parameters as `init(method:options:)` takes them.
  public var options: [String: String] {
    func list(_ numbers: [Double]) -> String { numbers.map { "\($0)" }.joined(separator: ",") }
    func change(_ p: AccumulatedChangeCache.Parameters) -> [String: String] {
      var options = ["rel_l1_thresh": "\(p.threshold)", "coefficients": list(p.coefficients)]
      options["negative_coefficients"] = p.negativeCoefficients.map(list)
      return options
    }
    switch self {
    case .none: return [:]
    case .teaCache(let o): return change(o)
    case .ascendTeaCache(let o): return change(o.change).merging(["warmup": "\(o.warmup)"]) { $1 }
    case .firstBlockCache(let o):
      return ["rel_l1_thresh": "\(o.threshold)", "signal": o.signal.rawValue, "warmup": "\(o.warmup)"]
    case .taylorSeer(let o):
      return [
        "n_derivatives": "\(o.order)", "skip_interval_steps": "\(o.interval)", "warmup": "\(o.warmup)",
        "cutoff_steps": "\(o.cutoff)", "offset": "\(o.offset)", "scope": o.scope.rawValue,
      ]
    case .easyCache(let o): return ["thresh": "\(o.threshold)", "ret_steps": "\(o.retainedSteps)"]
    case .magCache(let o):
      var options = [
        "thresh": "\(o.threshold)", "K": "\(o.mostSkipped)", "retention_ratio": "\(o.retention)",
        "mag_ratios": list(o.ratios),
      ]
      options["negative_mag_ratios"] = o.negativeRatios.map(list)
      return options
    }
  }

  /// A fresh cache for one sequence of steps of one sample.
  /// - Parameters:
  ///   - group: the ranks that share the sample.
  ///   - branch: the pass that it is for.
  public func makeCache(
    steps: Int, group: any ProcessGroup, branch: GuidanceBranch = .positive
  ) -> any StepCache {
    switch self {
    case .none: NoStepCache()
    case .teaCache(let options): TeaCache(options.of(branch), steps: steps, group: group)
    case .ascendTeaCache(let options): AscendTeaCache(options, branch: branch, steps: steps, group: group)
    case .firstBlockCache(let options): FirstBlockCache(options, group: group)
    case .taylorSeer(let options): TaylorSeer(options, steps: steps)
    case .easyCache(let options): EasyCache(options, steps: steps, group: group)
    case .magCache(let options): MagCache(options, branch: branch, steps: steps)
    }
  }
}
