import Generation
import Testing

/// How cache rules read their options.
@Suite struct StepCacheOptionTests {
  private static let fit: [GuidanceBranch: StepCacheFit] = [
    .positive: StepCacheFit(teaCacheCoefficients: [1, 2, 3], magnitudeRatios: [1, 0.9]),
    .negative: StepCacheFit(teaCacheCoefficients: [4, 5], magnitudeRatios: [1, 1.1]),
  ]

  @Test(arguments: [
    ("teacache", "threshold", "0.1"), ("teacache", "rel_l1_thresh", "-1"), ("teacache", "rel_l1_thresh", "nan"),
    ("teacache", "rel_l1_thresh", "inf"), ("teacache", "coefficients", "1,,2"), ("teacache", "warmup", "2"),
    ("teacache-ascend", "warmup", "1.5"), ("fbcache", "signal", "both"), ("taylorseer", "skip_interval_steps", "0"),
    ("taylorseer", "n_derivatives", "99999999999999999999"), ("taylorseer", "scope", ""),
    ("easycache", "ret_steps", "0"),
    ("magcache", "mag_ratios", ""), ("none", "rel_l1_thresh", "0.1"), ("nocache", "", ""),
  ])
  func `unknown options and values out of range are refused by name`(
    _ method: String, _ key: String, _ value: String
  ) throws {
    let options = key.isEmpty ? [:] : [key: value]
    let error = #expect(throws: RequestError.self) {
      _ = try StepCacheSettings(method: method, options: options)
    }
    let text = "\(try #require(error))"
    #expect(text.contains(key.isEmpty ? method : key), "\(text)")
  }

  @Test func `magcache without ratios names the command that makes them`() throws {
    let error = #expect(throws: RequestError.self) { _ = try StepCacheSettings(method: "magcache") }
    #expect("\(try #require(error))".contains("hyvideo calibrate"))
  }

  @Test func `every rule's options read back as they are written`() throws {
    for method in StepCacheSettings.methods {
      let settings = try StepCacheSettings(method: method, fitted: Self.fit)
      #expect(settings.method == method)
      #expect(try StepCacheSettings(method: method, options: settings.options) == settings)
      #expect(try StepCacheSettings(method: method.uppercased(), options: settings.options) == settings)
    }
  }

  @Test func `what is calibrated replaces published values and gives way to options`() throws {
    let fitted = try StepCacheSettings(method: "teacache", fitted: Self.fit)
    #expect(fitted.options["coefficients"] == "1.0,2.0,3.0")
    let given = try StepCacheSettings(
      method: "teacache", options: ["coefficients": "[4, 5]"], fitted: Self.fit)
    #expect(given.options["coefficients"] == "4.0,5.0")
    // What is given for the prompt's pass is not mixed with what is fitted for the other.
    #expect(fitted.options["negative_coefficients"] == "4.0,5.0" && given.options["negative_coefficients"] == nil)
  }
}
