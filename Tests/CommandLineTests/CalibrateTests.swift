import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

@Suite struct CalibrateTests {
  private let size = ["--infer-steps", "12", "--video-length", "5"]

  @Test func `what calibrate measures is found by generate and named`() throws {
    let folder = TemporaryFolder()
    let environment = ["XDG_CACHE_HOME": folder.path("caches")]
    try "A red ball moves from left to right on a black background.\n"
      .write(toFile: folder.path("prompts.txt"), atomically: true, encoding: .utf8)
    let made = try Program.run(
      ["calibrate", "--prompt-file", folder.path("prompts.txt"), "--plot", folder.path("curves.png")] + size,
      environment: environment)
    #expect(made.status == 0, "\(made.errors)")
    let path = try #require(made.output.split(separator: "\n").last.map(String.init))
    #expect(path.hasPrefix(folder.path("caches")) && FileManager.default.fileExists(atPath: folder.path("curves.png")))
    let file = try #require(try JSONValue(contentsOf: path).object)
    #expect(file["teacache_coefficients"]?.array?.count == 5)
    #expect(file["magnitude_ratios"]?.array?.count == 12)
    #expect(file["provenance"]?["steps"].int == 12)
    let points = try #require(file["points"]?.array)
    #expect(Set(points.compactMap { $0["method"].string }).count == 5)

    func generate(_ flags: [String], _ environment: [String: String]) throws -> (Program.Result, JSONValue?) {
      let report = folder.path("report.json")
      try? FileManager.default.removeItem(atPath: report)
      let result = try Program.run(
        ["generate", "--prompt", "A blue square.", "--output", folder.path("a.mp4"), "--report", report] + size + flags,
        environment: environment)
      return (result, result.status == 0 ? try JSONValue(contentsOf: report) : nil)
    }
    // The budget takes the fewest steps of the points that stay above it.
    let budget = 30.0
    let within = points.filter { ($0["lowest_psnr_db"].double ?? 0) >= budget }
    let fewest = within.compactMap { $0["steps_computed"].double }.min()
    let (chosen, report) = try generate(["--fidelity-budget", "\(budget)"], environment)
    #expect(chosen.status == 0 && chosen.errors.contains(path), "\(chosen.errors)")
    let method = report?["settings"]["cache"].string
    #expect(within.contains { $0["method"].string == method && $0["steps_computed"].double == fewest })
    // MagCache needs the ratios.
    let (fitted, _) = try generate(["--cache", "magcache"], environment)
    #expect(fitted.status == 0 && fitted.errors.contains("magcache uses the calibration"), "\(fitted.errors)")
    let (given, _) = try generate(["--cache", "magcache", "--calibration", path], ["XDG_CACHE_HOME": folder.path("b")])
    #expect(given.status == 0, "\(given.errors)")

    let elsewhere = ["XDG_CACHE_HOME": folder.path("empty")]
    for flags in [
      ["--cache", "magcache"], ["--fidelity-budget", "30"], ["--teacache", "--calibration", "/nonexistent.json"],
      ["--fidelity-budget", "30", "--teacache"], ["--fidelity-budget", "-3"], ["--calibration", path],
    ] {
      let (refused, _) = try generate(flags, elsewhere)
      #expect(refused.status == 64 && !refused.errorLine.isEmpty, "\(flags): \(refused.errors)")
    }
    try "{}".write(toFile: path, atomically: true, encoding: .utf8)
    let (broken, _) = try generate(["--cache", "magcache"], environment)
    #expect(broken.status == 64 && broken.errorLine.contains("calibration"))
  }

  @Test func `with true guidance each pass has a fit of its own, and a budget asks for the same guidance`() throws {
    let folder = TemporaryFolder()
    let environment = ["XDG_CACHE_HOME": folder.path("caches")]
    try "A red ball moves from left to right on a black background.\n"
      .write(toFile: folder.path("prompts.txt"), atomically: true, encoding: .utf8)
    let guidance = ["--cfg-scale", "3", "--neg-prompt", "A blue square."]
    let made = try Program.run(
      ["calibrate", "--prompt-file", folder.path("prompts.txt")] + size + guidance, environment: environment)
    #expect(made.status == 0, "\(made.errors)")
    let path = try #require(made.output.split(separator: "\n").last.map(String.init))
    #expect(path.hasSuffix("_cfg3.0.json"))
    let file = try #require(try JSONValue(contentsOf: path).object)
    #expect(file["provenance"]?["cfg_scale"].double == 3)
    #expect(file["provenance"]?["negative_prompt"].string == "A blue square.")
    let negative = try #require(file["negative"]?.object)
    #expect(negative["magnitude_ratios"]?.array?.count == 12 && negative["teacache_coefficients"]?.array?.count == 5)
    #expect(negative["magnitude_ratios"] != file["magnitude_ratios"])
    // Passes decide by themselves: halves of steps occur where they disagree, and none computes more than all.
    let computed = (file["points"]?.array ?? []).compactMap { $0["steps_computed"].double }
    #expect(!computed.isEmpty && computed.allSatisfy { $0 >= 1 && $0 <= 12 })

    func generate(_ flags: [String]) throws -> (Program.Result, JSONValue?) {
      let report = folder.path("report.json")
      try? FileManager.default.removeItem(atPath: report)
      let result = try Program.run(
        ["generate", "--prompt", "A blue square.", "--output", folder.path("a.mp4"), "--report", report] + size + flags,
        environment: environment)
      return (result, result.status == 0 ? try JSONValue(contentsOf: report) : nil)
    }
    let (chosen, report) = try generate(guidance + ["--fidelity-budget", "25"])
    #expect(chosen.status == 0 && chosen.errors.contains(path), "\(chosen.errors)")
    #expect(report?["steps"].array?.allSatisfy { $0["passes"].int == 2 } == true)
    let (fitted, mag) = try generate(guidance + ["--cache", "magcache"])
    #expect(fitted.status == 0, "\(fitted.errors)")
    let options = mag?["settings"]["cache_options"]
    #expect(options?["mag_ratios"].string != options?["negative_mag_ratios"].string)
    #expect(options?["negative_mag_ratios"].string != nil)
    // Without guidance there is no calibration, and one with it predicts nothing.
    let (other, _) = try generate(["--fidelity-budget", "25"])
    #expect(other.status == 64 && other.errorLine.contains("no calibration"), "\(other.errors)")
    let (wrong, _) = try generate(["--fidelity-budget", "25", "--calibration", path])
    #expect(wrong.status == 64 && wrong.errorLine.contains("--cfg-scale 1.0"), "\(wrong.errors)")
  }
}
