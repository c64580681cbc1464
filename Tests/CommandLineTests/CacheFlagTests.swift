import Checkpoints
import Foundation
import StrictJSON
import TensorCore
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

  @Test(arguments: [
    ["teacache", "rel_l1_thresh=0.3"], ["teacache-ascend", "rel_l1_thresh=0.15"], ["fbcache", "rel_l1_thresh=0.2"],
    ["taylorseer"], ["taylorseer", "scope=velocity"], ["easycache", "thresh=0.1"],
    ["magcache", "mag_ratios=1,1.1,1.05,1.02,1.01,1,0.99,0.98,0.97,0.95"],
  ])
  func `the second video of a prompt file is the one that its prompt makes alone`(_ rule: [String]) throws {
    let folder = TemporaryFolder()
    let second = "A blue square rises upwards over a gray background."
    try "\(prompt)\n\(second)\n".write(toFile: folder.path("prompts.txt"), atomically: true, encoding: .utf8)
    func generate(_ name: String, _ prompts: [String]) throws {
      let options = rule.dropFirst().flatMap { ["--cache-option", $0] }
      let result = try Program.run(
        ["generate", "--seed", "7", "--infer-steps", "10", "--video-length", "5", "--cfg-scale", "2"] + prompts
          + ["--save-path", folder.path(name), "--save-latents", folder.path("\(name).safetensors")]
          + ["--save-frames", folder.path("\(name)-frames.safetensors"), "--report", folder.path("\(name).json")]
          + ["--cache", rule[0]] + options, environment: ["XDG_CACHE_HOME": folder.path("caches")])
      #expect(result.status == 0, "\(result.errors)")
    }
    try generate("both", ["--prompt-file", folder.path("prompts.txt")])
    try generate("alone", ["--prompt", second])
    func numbers(_ file: String, _ key: String) throws -> [Float] {
      try #require(try Checkpoint(path: folder.path(file))[key]).tensor.floats()
    }
    #expect(try numbers("both_1.safetensors", "latents") == numbers("alone.safetensors", "latents"))
    #expect(try numbers("both-frames_1.safetensors", "video") == numbers("alone-frames.safetensors", "video"))
    func skipped(_ file: String) throws -> [Bool] {
      try #require(try JSONValue(contentsOf: folder.path(file))["steps"].array).compactMap { $0["skipped"].bool }
    }
    let decisions = try skipped("alone.json")
    #expect(try skipped("both_1.json") == decisions && decisions.contains(true), "\(decisions)")
  }
}
