import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

@Suite struct ReportTests {
  /// A report of a short run with a cache, whose prompt tries to be HTML.
  private func report(_ folder: TemporaryFolder) throws -> JSONValue {
    let result = try Program.run([
      "generate", "--prompt", "A </title><script>alert(1)</script> & \"red\" 'ball'.", "--video-length", "5",
      "--infer-steps", "12", "--cache", "teacache", "--cache-option", "rel_l1_thresh=0.3", "--output",
      folder.path("a.mp4"), "--report", folder.path("a.json"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    return try JSONValue(contentsOf: folder.path("a.json"))
  }

  @Test func `a report says what was made, with what, how long it took and what the cache decided`() throws {
    let folder = TemporaryFolder()
    let report = try report(folder)
    for key in ["system", "cores", "memory_bytes", "onednn", "ffmpeg"] {
      #expect(report["environment"][key] != .null, "the environment lacks \(key)")
    }
    #expect(report["latents_sha256"].string?.count == 64 && report["checkpoint_sha256"].string?.count == 64)
    let words = (report["command"].array ?? []).compactMap(\.string)
    let seed = report["seed"].summary
    #expect(
      words.first == "hyvideo" && words.suffix(2) == ["--seed", seed], "a drawn seed belongs to the command: \(words)")
    let seconds = try #require(report["seconds"].double)
    let stages = (report["stages"].array ?? []).reduce(0) { $0 + ($1["seconds"].double ?? 0) }
    #expect(stages > 0 && stages <= seconds)
    let steps = try #require(report["steps"].array)
    #expect(steps.count == 12)
    for step in steps {
      guard let change = step["cache_change"].double, let limit = step["cache_limit"].double else {
        #expect(step["skipped"].bool == false, "a skipped step says why")
        continue
      }
      #expect(limit == 0.3 && (change < limit) == step["skipped"].bool, "\(step.summary)")
    }
    #expect(steps.contains { $0["cache_change"].double != nil })
    // The same command gives the same latents.
    let again = try Program.run(
      Array(words.dropFirst().dropLast(6)) + [
        "--seed", seed, "--output", folder.path("b.mp4"), "--report", folder.path("b.json"),
      ])
    #expect(again.status == 0, "\(again.errors)")
    #expect(try JSONValue(contentsOf: folder.path("b.json"))["latents_sha256"] == report["latents_sha256"])
  }

  @Test(arguments: [1, 2, 3]) func `no step after the first takes tensor memory from the system`(_ threads: Int) throws
  {
    let folder = TemporaryFolder()
    let result = try Program.run([
      "generate", "--prompt", "A red ball.", "--infer-steps", "5", "--threads", "\(threads)", "--output",
      folder.path("a.mp4"), "--report", folder.path("a.json"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    let steps = try #require(try JSONValue(contentsOf: folder.path("a.json"))["steps"].array)
    let allocations = steps.map { $0["allocations"].int }
    #expect(allocations.count == 5 && allocations[0] != nil)
    #expect(allocations.dropFirst().allSatisfy { $0 == 0 }, "\(allocations)")
  }

  @Test func `a page holds pictures, charts, settings and the command, and no text of the prompt runs`() throws {
    let folder = TemporaryFolder()
    let report = try report(folder)
    let result = try Program.run(["report", folder.path("a.json"), "--html"])
    #expect(result.status == 0 && result.output == folder.path("a.html") + "\n", "\(result.errors)")
    let page = try String(contentsOfFile: folder.path("a.html"), encoding: .utf8)
    #expect(
      page.components(separatedBy: "<script").count == 2 && !page.contains("alert(1)</script>"), "one script, ours")
    #expect(
      page.contains("A &lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;red&quot; &#39;ball&#39;."))
    #expect(
      page.components(separatedBy: "data:image/png;base64,").count == 6 && page.contains("data:video/mp4;base64,"))
    let skipped = (report["steps"].array ?? []).count { $0["skipped"].bool == true }
    #expect(page.components(separatedBy: "<rect class=\"skipped\"").count == skipped + 1)
    #expect(page.components(separatedBy: "<svg ").count == 5, "steps, decisions, times, memory")
    for word in [
      "Planned and actual", "Settings", "rel_l1_thresh 0.3", report["checkpoint_sha256"].string ?? "?",
      "hyvideo generate --prompt",
    ] {
      #expect(page.contains(word), "\(word) is missing")
    }
    // Nothing comes from elsewhere.
    #expect(!page.contains("http://") && !page.contains("https://") && !page.contains(" href="))

    // Without the video there is a page of numbers.
    try FileManager.default.removeItem(atPath: folder.path("a.mp4"))
    let bare = try Program.run(["report", folder.path("a.json"), "--html", folder.path("bare.html")])
    #expect(bare.status == 0 && bare.errors.contains("warning: no pictures"), "\(bare.errors)")
    let text = try Program.run(["report", folder.path("a.json")])
    #expect(
      text.status == 0 && text.output.contains("denoise") && text.output.contains("seed \(report["seed"].summary)"))
    // Height first, as the flags have it.
    #expect(
      text.output.contains("\n5 frames of 96x128, 12 steps") && page.contains("<dd>96x128</dd>"), "\(text.output)")
  }

  @Test(arguments: ["1e300", "-1e300", "-1", "1e9", "5e-324", "0"])
  func `numbers that no run has are shown as they are`(_ number: String) throws {
    let folder = TemporaryFolder()
    let step = "{\"index\": 9223372036854775807, \"seconds\": \(number), \"cache_change\": 1, \"cache_limit\": 2}"
    try """
    {"settings": {"prompt": "A red ball."}, "seconds": \(number), "steps": [\(step)],
     "stages": [{"name": "denoise", "seconds": \(number), "peak_rss_bytes": \(number)}]}
    """.write(toFile: folder.path("a.json"), atomically: true, encoding: .utf8)
    let text = try Program.run(["report", folder.path("a.json")])
    #expect(text.status == 0 && text.output.contains("denoise  "), "\(text.errors)")
    let page = try Program.run(["report", folder.path("a.json"), "--html"])
    #expect(page.status == 0 && page.output == folder.path("a.html") + "\n", "\(page.errors)")
  }

  @Test func `what is no report is refused`() throws {
    let folder = TemporaryFolder()
    try "{\"a\": 1}".write(toFile: folder.path("other.json"), atomically: true, encoding: .utf8)
    for (arguments, word) in [
      (["other.json"], "no report"), (["absent.json"], "absent.json"), (["other.json", "page.html"], "no report"),
    ] {
      let result = try Program.run(["report"] + arguments, in: folder.root)
      #expect(result.status == 64 && result.errorLine.contains(word), "\(result.errors)")
    }
    try "{\"a\": ".write(toFile: folder.path("half.json"), atomically: true, encoding: .utf8)
    for (command, flag) in [(["report"], "--report"), (["profile", "summary"], "--profile")] {
      let result = try Program.run(command + ["half.json"], in: folder.root)
      #expect(result.status == 64 && result.errorLine.contains("half.json"), "\(result.errors)")
      #expect(result.errorLine.contains(flag) && !result.errorLine.contains("download"), "\(result.errors)")
    }
  }
}
