import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// Ranks that are processes, each with an emulated NPU of its own.
@Suite(.serialized) struct AscendRankTests {
  private static func settings(_ folder: TemporaryFolder, _ name: String) -> [String] {
    [
      "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "3", "--device",
      "ascend", "--infer-steps", "2", "--video-size", "48", "80", "--video-length", "5", "--progress", "none",
      "--output", folder.path("\(name)/"), "--save-latents", folder.path("\(name).latents"), "--report",
      folder.path("\(name).json"),
    ]
  }

  private func latents(_ path: String) throws -> Tensor {
    try #require(try Checkpoint(path: path)["latents"]).tensor
  }

  @Test(arguments: [(2, 1), (1, 2), (2, 2)])
  func `NPUs make the video of one, from device to device, and break no rule`(_ ulysses: Int, _ ring: Int) throws {
    let folder = TemporaryFolder()
    let count = ulysses * ring
    let emulator = EmulatedDevices(report: folder.path("emulator"), ["DEVICES": "\(count)"])
    let one = try Program.run(Self.settings(folder, "one"), environment: emulator.environment)
    #expect(one.status == 0, "\(one.errors)")
    let many = try Program.run(
      ranks: count,
      Self.settings(folder, "many") + ["--ulysses-degree", "\(ulysses)", "--ring-degree", "\(ring)"],
      environment: emulator.environment)
    #expect(many.status == 0, "\(many.errors)")
    // Joining attention of parts rounds to bfloat16 in other places.
    expectClose(
      try latents(folder.path("many.latents")), try latents(folder.path("one.latents")), relative: 2e-2, "latents")
    let comparison = try Program.run(["compare", folder.path("one/"), folder.path("many/"), "--json"])
    let psnr = try JSONValue(bytes: Array(comparison.output.utf8), file: "output").object?["psnr_db"]?.double
    #expect(psnr ?? 0 >= 35, "\(comparison.output) \(comparison.errors)")
    #expect(try emulator.report(processes: 1 + count) == [])
    let report = try JSONValue(contentsOf: folder.path("many.json")).object
    #expect(report?["ranks"]?.int == count && report?["bytes_sent"]?.int ?? 0 > 0)
  }

  @Test(arguments: ["double-block", "step"])
  func `NPUs are timed together, in turns with one of them`(_ kind: String) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("emulator"), ["DEVICES": "2"])
    let sizes = kind == "step" ? ["--frames", "5", "--size", "32"] : ["--tokens", "32"]
    let bench = [
      "bench", kind, "--device", "ascend", "--text-tokens", "4", "--width", "128", "--heads", "2", "--runs", "2",
    ]
    let result = try Program.run(
      ranks: 2, bench + sizes + ["--ulysses-degree", "2", "--json"], environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    let figures = try JSONValue(bytes: Array(result.output.utf8), file: "bench")
    #expect(figures["device"].string == "ascend:0" && figures["precision"].string == "bf16", "\(result.output)")
    let ranks = figures["ranks"]
    #expect(ranks["ranks"].int == 2 && ranks["has_cards"].bool == true, "\(result.output)")
    #expect((ranks["bytes_sent"].int ?? 0) > 0 && (ranks["one_rank_seconds_median"].double ?? 0) > 0)
    #expect(try emulator.report(processes: 2) == [])
    let text = try Program.run(
      ranks: 2, bench + sizes + ["--ring-degree", "2"], environment: emulator.environment)
    #expect(text.output.contains("2 cards, Ulysses 1 x ring 2: "), "\(text.output) \(text.errors)")
  }

  private static let exchanges = [
    "all-to-all", "all-gather", "all-gather of unequal parts", "broadcast from the first rank",
    "broadcast from the last rank", "all-reduce: sum", "all-reduce: maximum", "send and receive round a ring",
    "all-gather of every second rank",
  ]

  @Test(arguments: [2, 4])
  func `the operations by which NPUs exchange tensors are looked at one by one`(_ count: Int) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("emulator"), ["DEVICES": "\(count)"])
    let bench = ["bench", "--device", "ascend", "--conformance"]
    let result = try Program.run(ranks: count, bench + ["--json"], environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    let table = try JSONValue(bytes: Array(result.output.utf8), file: "bench")
    let rows = table["rows"].array ?? []
    #expect(table["ranks"].int == count && table["goes_between_devices"].bool == true, "\(result.output)")
    #expect(table["agreeing"].int == rows.count && table["not_run"].int == 0, "\(result.output)")
    for dtype in ["bf16", "fp16"] {
      for elements in [1003, 1 << 19] {
        let found = rows.filter { $0["dtype"].string == dtype && $0["elements"].int == elements }
        #expect(found.compactMap { $0["operation"].string } == Self.exchanges)
        // In halves of two ranks each is alone; only the root gives a tensor to all.
        let silent = found.filter { $0["bytes_sent"].int == 0 }.compactMap { $0["operation"].string }
        #expect(silent == ["broadcast from the last rank"] + (count == 2 ? Self.exchanges.suffix(1) : []))
      }
    }
    #expect(try emulator.report(processes: count) == [])
  }

  @Test func `a table of exchanges ends with what failed, and with 1`() throws {
    let folder = TemporaryFolder()
    // The first is the roll call.
    let emulator = EmulatedDevices(
      report: folder.path("emulator"), ["DEVICES": "2", "FAIL_COLLECTIVE": "4", "SECONDS": "20"])
    let result = try Program.run(
      ranks: 2, ["bench", "--device", "ascend", "--conformance"], environment: emulator.environment)
    #expect(result.status == 1, "\(result.errors)")
    let lines = result.output.split(separator: "\n")
    #expect(lines.dropFirst().prefix(3).map { $0.split(separator: " ")[1] } == ["agrees", "agrees", "failed"])
    #expect(result.output.contains("vanished, on demand") && result.output.contains("33 more were not run"))
    #expect(lines.last?.hasPrefix("2 of 36 operations agree on 2 ranks, from device to device") == true)
    let hosts = try Program.run(ranks: 2, ["bench", "--conformance", "--threads", "1"])
    #expect(hosts.status == 0 && hosts.output.contains("18 of 18 operations agree on 2 ranks, by way of the hosts"))
  }

  @Test(arguments: [0, 1])
  func `the other NPU's rank ends when one is killed, names it and leaves the run whole`(_ lost: Int) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("emulator"), ["DEVICES": "2"])
    let process = try Program.start(
      ranks: 2,
      [
        "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "3", "--device",
        "ascend", "--ulysses-degree", "2", "--infer-steps", "2000", "--video-size", "48", "80", "--video-length", "1",
        "--checkpoint-every", "1", "--output", folder.path("a.mp4"),
      ], errors: folder.path("errors"), environment: emulator.environment)
    try Program.wait(for: "denoise: 1/", in: folder.path("errors"), of: process)
    let saved = folder.path("a.run.safetensors")
    while process.isRunning && !FileManager.default.fileExists(atPath: saved) { Thread.sleep(forTimeInterval: 0.002) }
    let ranks = Program.ranks(of: folder.path("a.mp4"))
    #expect(ranks.count == 2)
    kill(try #require(ranks[lost]), SIGKILL)
    #expect(Program.ends(process, within: 15))
    #expect(process.terminationStatus != 0 && Program.ranks(of: folder.path("a.mp4")).isEmpty)
    let lines = try String(contentsOfFile: folder.path("errors"), encoding: .utf8).split(separator: "\n")
      .filter { $0.contains("error: ") }
    #expect(lines.count == 1 && lines[0].contains("rank \(lost) is gone"), "\(lines)")
    #expect(lines.first?.contains("--resume \(saved)") == true, "\(lines)")
    #expect(try #require(try Checkpoint(path: saved)["latents"]).tensor.floats().allSatisfy(\.isFinite))
  }

  @Test func `devices that vanish end the run with an error, and it can be gone on with`() throws {
    let folder = TemporaryFolder()
    // After the first step.
    let broken = EmulatedDevices(
      report: folder.path("emulator"), ["DEVICES": "2", "FAIL_COLLECTIVE": "38", "SECONDS": "20"])
    let settings = Self.settings(folder, "many") + ["--ulysses-degree", "2"]
    let failed = try Program.run(ranks: 2, settings, environment: broken.environment)
    #expect(failed.status != 0)
    #expect(
      failed.errors.contains("vanished, on demand") && failed.errors.contains("after step 1 of 2"), "\(failed.errors)")
    let whole = EmulatedDevices(report: folder.path("whole"), ["DEVICES": "2"])
    let resumed = try Program.run(
      ranks: 2, ["generate", "--resume", folder.path("many.run.safetensors"), "--progress", "none"],
      environment: whole.environment)
    #expect(resumed.status == 0, "\(resumed.errors)")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path("many"))
    #expect(files.count { $0.hasSuffix(".png") } == 5)
    #expect(try whole.report(processes: 2) == [])
  }
}
