import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

@Suite struct CacheFlagTests {
  private let prompt = "A red ball moves from left to right on a black background."

  @Test func `a cache's skipped steps and its cost are in the report and on the terminal`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(
      [
        "generate", "--prompt", prompt, "--seed", "1", "--infer-steps", "12", "--video-length", "5", "--teacache",
        "--rel_l1_thresh", "0.15", "--measure-fidelity", "--output", folder.path("a.mp4"), "--report",
        folder.path("r.json"),
      ], environment: ["XDG_CACHE_HOME": folder.path("caches")])
    #expect(result.status == 0, "\(result.errors)")
    let report = try #require(try JSONValue(contentsOf: folder.path("r.json")).object)
    let steps = try #require(report["steps"]?.array)
    let skipped = steps.filter { $0["skipped"].bool == true }.count
    #expect(skipped > 0 && report["steps_computed"]?.int == 12 - skipped)
    #expect(report["settings"]?["cache"].string == "teacache")
    #expect(report["settings"]?["cache_options"]["rel_l1_thresh"].string == "0.15")
    let fidelity = try #require(report["fidelity"]?.object)
    #expect(fidelity["steps_computed"]?.int == 12 - skipped && (fidelity["psnr_db"]?.double ?? 0) > 20)
    #expect(fidelity["relative_latent_difference"]?.array?.count == 12)
    #expect(result.errors.contains("\(skipped) skipped") && result.errors.contains("PSNR"))
  }

  @Test(arguments: [
    ["--cache", "nothing"], ["--cache", "easycache", "--cache-option", "threshold=1"],
    ["--cache", "easycache", "--cache-option", "thresh"], ["--cache", "easycache", "--teacache"],
    ["--rel_l1_thresh", "0.1"], ["--teacache", "--cache-option", "rel_l1_thresh=1", "--rel_l1_thresh", "0.1"],
    ["--measure-fidelity"], ["--teacache", "--rel_l1_thresh", "-1"],
  ])
  func `cache flags that cannot work are refused before any work`(_ flags: [String]) throws {
    let folder = TemporaryFolder()
    let result = try Program.run(["generate", "--prompt", prompt, "--output", folder.path("a.mp4")] + flags)
    #expect(result.status == 64 && !result.errorLine.isEmpty, "\(result.errors)")
  }
}
