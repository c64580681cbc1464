import Checkpoints
import Foundation
import StrictJSON
import Testing

@Suite struct BenchTests {
  private static let block = ["--tokens", "32", "--text-tokens", "4", "--width", "128", "--heads", "2"]
  static let small: [[String]] = [
    ["peak"], ["linear", "--tokens", "5", "--width", "64", "--outputs", "48", "--dtype", "int8"],
    ["attention"] + block, ["double-block", "--dtype", "fp8"] + block, ["single-block", "--dtype", "int8"] + block,
    ["vae", "--frames", "1", "--size", "16"], ["text-encoder", "--tokens", "2"],
    ["step", "--frames", "5", "--size", "16", "--text-tokens", "4", "--width", "64", "--heads", "2"],
  ]

  @Test(arguments: small)
  func `every kind prints its figures as JSON`(_ arguments: [String]) throws {
    let result = try Program.run(["bench"] + arguments + ["--runs", "1", "--threads", "2", "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let folder = TemporaryFolder()
    try result.output.write(toFile: folder.path("bench.json"), atomically: true, encoding: .utf8)
    let object = try #require(try JSONValue(contentsOf: folder.path("bench.json")).object)
    for key in ["kind", "shape", "dtype", "threads", "gflops", "peak_gflops", "share_of_peak", "peak_rss_bytes"] {
      #expect(object[key] != nil, "\(arguments[0]) lacks \(key)")
    }
    #expect((object["seconds_median"] != nil) == (arguments[0] != "peak"))
  }

  static let impossible: [([String], [String])] = [
    (["linear", "--heads", "2"], ["--heads", "linear"]),
    (["peak", "--dtype", "bf16"], ["--dtype", "peak"]),
    (["attention", "--heads", "7"], ["--heads", "3072"]),
    (["vae", "--frames", "4"], ["--frames", "4n+1"]),
    (["vae", "--size", "40"], ["--size", "16"]),
    (["linear", "--tokens", "0"], ["--tokens"]),
    (["linear", "--tokens", "9000000000000"], ["--tokens"]),
    (["linear", "--runs", "0"], ["--runs"]),
    (["linear", "--threads", "0"], ["--threads"]),
    (["breakfast"], ["breakfast"]),
  ]

  @Test(arguments: impossible)
  func `an impossible benchmark is refused`(_ flag: (arguments: [String], words: [String])) throws {
    let result = try Program.run(["bench"] + flag.arguments)
    #expect(result.status == 64, "\(flag.arguments): \(result.errors)")
    #expect(result.output.isEmpty)
    for word in flag.words { #expect(result.errorLine.contains(word), "\(result.errors) lacks \(word)") }
  }
}
