import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
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

  @Test(arguments: ["offload", "offload-cached"])
  func `the step of a file is timed with its weights in memory and on disk`(_ overhead: String) throws {
    let weights = Goldens.repositoryPath("Models/demo/hunyuan-video-t2v-720p/transformers")
    let result = try Program.run([
      "bench", "step", "--dit-weight", weights, "--frames", "5", "--size", "64", "--text-tokens", "4", "--runs", "2",
      "--overhead", overhead, "--json",
    ])
    #expect(result.status == 0, "\(result.errors)")
    let folder = TemporaryFolder()
    try result.output.write(toFile: folder.path("bench.json"), atomically: true, encoding: .utf8)
    let object = try #require(try JSONValue(contentsOf: folder.path("bench.json")).object)
    #expect(object["dtype"]?.string == "float16" && object["shape"]?.object?["width"]?.int == 128)
    let read = try #require(object["overhead"]?.object?["read_bytes"]?.int)
    // The blocks without their modulation, which is done before the steps.
    let total = try Checkpoint(path: weights).byteCount
    #expect(read > total / 3 && read < total * 9 / 10)
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
    (["linear", "--dit-weight", "x"], ["--dit-weight", "step"]),
    (["step", "--overhead", "offload"], ["--dit-weight"]),
    (["step", "--dit-weight", "/nonexistent"], ["/nonexistent"]),
    (["step", "--dit-weight", "/nonexistent", "--width", "64"], ["--width"]),
  ]

  @Test(arguments: impossible)
  func `an impossible benchmark is refused`(_ flag: (arguments: [String], words: [String])) throws {
    let result = try Program.run(["bench"] + flag.arguments)
    #expect(result.status == 64, "\(flag.arguments): \(result.errors)")
    #expect(result.output.isEmpty)
    for word in flag.words { #expect(result.errorLine.contains(word), "\(result.errors) lacks \(word)") }
  }
}
