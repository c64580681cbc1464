import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

/// Requests far beyond any machine, refused by arithmetic.
@Suite struct AbsurdRequestTests {
  static let requests: [[String]] = [
    ["plan", "--video-size", "40000", "40000", "--video-length", "1", "--memory-limit", "8GiB"],
    ["generate", "--prompt", "x", "--video-size", "200000", "200000", "--video-length", "1"],
    ["plan", "--video-size", "16", "16", "--video-length", "1073741821"],
    ["plan", "--video-size", "1048576", "1048576", "--video-length", "1"],
    ["generate", "--prompt", "x", "--video-size", "9223372036854775807", "1"],
    ["calibrate", "--video-size", "200000", "200000", "--video-length", "1", "--output", "a.json"],
    ["generate", "--prompt", "x", "--infer-steps", "1000000000"],
    ["generate", "--prompt", "x", "--num-videos", "9223372036854775807"],
    ["plan", "--num-videos", "100001"],
  ]

  @Test(arguments: requests)
  func `what no machine holds is refused in seconds`(_ words: [String]) throws {
    let folder = TemporaryFolder()
    let clock = ContinuousClock()
    let start = clock.now
    let result = try Program.run(words, in: folder.root)
    #expect(result.status == 64 && !result.errorLine.isEmpty, "\(result.errors)")
    #expect(start.duration(to: clock.now) < .seconds(60))
  }

  @Test func `more videos than a command makes are refused, whichever flag has them`() throws {
    let folder = TemporaryFolder()
    let lines = String(repeating: "a cat\n", count: 2000)
    try lines.write(toFile: folder.path("p.txt"), atomically: true, encoding: .utf8)
    let result = try Program.run(
      ["plan", "--prompt-file", "p.txt", "--num-videos", "51"], in: folder.root)
    #expect(result.status == 64 && result.errorLine.contains("too many videos"), "\(result.errors)")
  }

  @Test func `a plan of thousands of like tiles is that of the tiles`() throws {
    func decode(_ frames: Int) throws -> JSONValue {
      let result = try Program.run([
        "plan", "--json", "--video-size", "64", "64", "--video-length", "\(frames)", "--infer-steps", "1",
      ])
      #expect(result.status == 0, "\(result.errors)")
      let plan = try JSONValue(bytes: Array(result.output.utf8), file: "plan")
      return try #require(plan["stages"].array?.first { $0["name"].string == "decode" })
    }
    // A tile is 48 frames further on; all but the last ones are alike.
    let plans = try [10, 20, 200].map { try decode(48 * $0 + 1) }
    let work = plans.compactMap { $0["operations"].double }
    let (each, all) = ((work[1] - work[0]) / 10, (work[2] - work[0]) / 190)
    #expect(abs(each - all) < 1e-9 * each, "\(each) \(all)")
    #expect(plans[2]["units"].int == 190 + (plans[0]["units"].int ?? 0))
  }

  @Test func `what a command writes at its end is refused at its beginning where it cannot be written`() throws {
    let environment = ["XDG_CACHE_HOME": "/proc/none"]
    let calibrate = try Program.run(
      ["calibrate", "--video-size", "32", "48", "--video-length", "1", "--infer-steps", "6"], environment: environment)
    #expect(calibrate.status == 64 && calibrate.errorLine.contains("--output"), "\(calibrate.errors)")
    #expect(calibrate.output.isEmpty)
  }
}
