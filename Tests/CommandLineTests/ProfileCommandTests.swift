import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

@Suite struct ProfileCommandTests {
  @Test func `a profile is written beside the video, and its summary is a table or one JSON object`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run([
      "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "5",
      "--infer-steps", "4", "--prof-dit", "--use-cpu-offload", "--output", folder.path("a.mp4"),
    ])
    #expect(result.status == 0 && result.errors.contains("profile: \(folder.path("a.trace.json"))"), "\(result.errors)")
    let table = try Program.run(["profile", "summary", folder.path("a.trace.json")])
    for word in ["linear", "attention", "transformer: double_blocks", "GFLOP/s", "of peak", "denoise", "4 steps"] {
      #expect(table.output.contains(word), "\(word) is missing: \(table.output)")
    }
    #expect(!table.output.contains("decode") && table.status == 0)
    let json = try Program.run(["profile", "summary", folder.path("a.trace.json"), "--json", "--peak-gflops", "100"])
    let summary = try JSONValue(bytes: Array(json.output.utf8), file: "summary")
    #expect(summary["peak_gflops"].double == 100 && summary["steps"].int == 4)
    let linear = summary["operations"].array?.first { $0["name"].string == "linear" } ?? .null
    #expect((linear["gflops"].double ?? 0) > 0 && (linear["calls"].int ?? 0) > 100)
    let share = linear["share_of_peak"].double ?? 0
    #expect(abs(share * 100 / (linear["gflops"].double ?? 1) - 1) < 1e-12)

    let whole = try Program.run([
      "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "5",
      "--infer-steps", "2", "--profile", folder.path("b.json"), "--output", folder.path("b.mp4"),
    ])
    #expect(whole.status == 0)
    let stages = try Program.run(["profile", "summary", folder.path("b.json")]).output
    #expect(stages.contains("decode") && stages.contains("vae: decoder.up_blocks") && stages.contains("text encoder"))
  }

  /// The peak that a profile's shares are of is measured once on a machine, and again where what was kept of it is no peak.
  @Test func `the device's peak is kept for other short runs`() throws {
    let folder = TemporaryFolder()
    func peak() throws -> Double {
      let result = try Program.run(
        [
          "generate", "--prompt", "A red ball.", "--seed", "5", "--video-length", "1", "--infer-steps", "1",
          "--profile", folder.path("trace.json"), "--output", folder.path("a.mp4"),
        ], environment: ["XDG_CACHE_HOME": folder.path("cache")])
      #expect(result.status == 0, "\(result.errors)")
      let summary = try Program.run(["profile", "summary", folder.path("trace.json"), "--json"]).output
      return try #require(try JSONValue(bytes: Array(summary.utf8), file: "summary")["peak_gflops"].double)
    }
    let measured = try peak()
    #expect(measured > 0.1)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("cache/hyvideo"))
    let file = folder.path("cache/hyvideo/\(try #require(names.first { $0.hasPrefix("peak-") }))")
    func keep(_ text: String) throws { try text.write(toFile: file, atomically: true, encoding: .utf8) }
    try keep("{\"operationsPerSecond\": 123e15, \"bytesPerSecond\": 1e9}")
    #expect(try peak() == 123e6)
    for text in ["{\"operationsPerSecond\": -1, \"bytesPerSecond\": 1e9}", "no peak", ""] {
      try keep(text)
      let again = try peak()
      #expect(again > 0.1 && again < 1e6, "\(text)")
    }
  }

  @Test func `what is no profile or no rank of it is refused`() throws {
    let folder = TemporaryFolder()
    try "{\"traceEvents\": []}".write(toFile: folder.path("other.json"), atomically: true, encoding: .utf8)
    try "not JSON".write(toFile: folder.path("text.json"), atomically: true, encoding: .utf8)
    for (arguments, word) in [
      ([folder.path("absent.json")], "absent.json"), ([folder.path("other.json")], "--profile"),
      ([folder.path("text.json")], "text.json"),
    ] {
      let result = try Program.run(["profile", "summary"] + arguments)
      #expect(result.status == 64 && result.errorLine.contains(word), "\(result.errors)")
    }
    let inTheWay = try Program.run([
      "generate", "--prompt", "A red ball.", "--profile", folder.root, "--output", folder.path("a.mp4"),
    ])
    #expect(inTheWay.status == 64 && inTheWay.errorLine.contains("--profile"), "\(inTheWay.errors)")
  }
}
