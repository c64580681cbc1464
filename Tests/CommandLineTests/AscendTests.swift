import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// The program on emulated NPUs.
@Suite struct AscendTests {
  /// Two steps of five frames.
  private static let short = [
    "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "7",
    "--infer-steps", "2", "--video-length", "5",
  ]

  private func latents(_ path: String) throws -> [Float] {
    try #require(try Checkpoint(path: path)["latents"]).tensor.floats()
  }

  @Test func `the demo video of an NPU is that of the CPU, and no rule is broken on the way`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"))
    let demo = ["generate", "--prompt", "A blue square rises upwards over a gray background.", "--seed", "42"]
    let expected = try Program.run(demo + ["--output", folder.path("cpu/")])
    #expect(expected.status == 0, "\(expected.errors)")
    let found = try Program.run(
      demo + ["--device", "ascend", "--output", folder.path("npu/"), "--report", folder.path("report.json")],
      environment: emulator.environment)
    #expect(found.status == 0, "\(found.errors)")
    let comparison = try Program.run(["compare", folder.path("cpu/"), folder.path("npu/"), "--json"])
    let psnr = try #require(
      try JSONValue(bytes: Array(comparison.output.utf8), file: "output").object?["psnr_db"]?.double)
    #expect(psnr >= 35, "\(psnr) dB")
    #expect(try emulator.report() == [])
    let report = try JSONValue(contentsOf: folder.path("report.json")).object
    #expect(report?["settings"]?.object?["device"]?.string == "ascend:0")
    #expect(report?["settings"]?.object?["precision"]?.string == "bf16")
    #expect(report?["environment"]?.object?["chip"]?.string == "Ascend910B3-emulated")
  }

  @Test func `weights that stay with the host give the same video, with a part of the memory`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"))
    for (name, flags) in [("resident", []), ("streamed", ["--use-cpu-offload"])] {
      let result = try Program.run(
        Self.short + flags + [
          "--device", "ascend", "--output", folder.path("\(name)/"), "--save-latents", folder.path(name + ".latents"),
          "--report", folder.path(name + ".json"),
        ], environment: emulator.environment)
      #expect(result.status == 0, "\(result.errors)")
    }
    #expect(try latents(folder.path("streamed.latents")) == latents(folder.path("resident.latents")))
    #expect(try emulator.report(processes: 2) == [])
    func peak(_ name: String, _ stage: String) throws -> Int {
      let stages = try JSONValue(contentsOf: folder.path(name + ".json")).object?["stages"]?.array ?? []
      return try #require(
        stages.compactMap(\.object).first { $0["name"]?.string == stage }?["peak_device_bytes"]?.int)
    }
    #expect(try peak("streamed", "denoise") < peak("resident", "denoise"))
    // The transformer has given way to the decoder, which is half its size.
    #expect(try peak("resident", "load decoder") < peak("resident", "load transformer"))
  }

  @Test(arguments: [1, 100])
  func `a kernel that fails before a step is done ends the run with CANN's words`(_ n: Int) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["FAIL_KERNEL": "\(n)"])
    let failed = try Program.run(
      Self.short + ["--device", "ascend", "--output", folder.path("out/")], environment: emulator.environment)
    #expect(failed.status == 1 && failed.errorLines.count == 1, "\(failed.errors)")
    #expect(failed.errorLine.contains("507015") && failed.errorLine.contains("on demand"), "\(failed.errorLine)")
    #expect(try emulator.report() == [])
  }

  @Test func `a kernel that fails leaves the steps before it, and the run goes on to the same video`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"))
    func make(_ name: String, _ settings: [String: String] = [:]) throws -> Program.Result {
      try Program.run(
        Self.short + [
          "--device", "ascend", "--output", folder.path("\(name)/"), "--save-latents", folder.path(name + ".latents"),
        ], environment: emulator.environment.merging(settings) { $1 })
    }
    let whole = try make("whole")
    #expect(whole.status == 0, "\(whole.errors)")
    // Within the second of two steps.
    let failed = try make("failed", ["HYVIDEO_ASCEND_EMULATOR_FAIL_KERNEL": "780"])
    #expect(failed.status == 1 && failed.errorLines.count == 1, "\(failed.errors)")
    let run = folder.path("failed.run.safetensors")
    #expect(failed.errorLine.contains("after step 1 of 2; go on with: hyvideo generate --resume \(run)"))
    let resumed = try Program.run(
      ["generate", "--resume", run, "--save-latents", folder.path("resumed.latents")], environment: emulator.environment
    )
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(try latents(folder.path("resumed.latents")) == latents(folder.path("whole.latents")))
    #expect(try emulator.report(processes: 3) == [])
  }

  @Test func `a device that fails while decoding leaves the latents, and the command in the error makes the video`()
    throws
  {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["FAIL_KERNEL": "950"])
    let failed = try Program.run(
      Self.short + ["--device", "ascend", "--output", folder.path("out/")], environment: emulator.environment)
    #expect(failed.status == 1 && failed.errorLines.count == 1, "\(failed.errors)")
    let command = try #require(failed.errorLine.components(separatedBy: "finish the video with: hyvideo ").last)
    let words = command.split(separator: " ").map(String.init)
    #expect(words.first == "decode" && words.suffix(2) == ["--device", "ascend:0"], "\(failed.errorLine)")
    let second = EmulatedDevices(report: folder.path("second"))
    let decoded = try Program.run(words, environment: second.environment)
    #expect(decoded.status == 0 && decoded.output == folder.path("out/") + "\n", "\(decoded.errors)")
    #expect(try emulator.report() == [] && second.report() == [])
  }

  @Test(arguments: [["FAIL_ALLOCATION": "1"], ["MEGABYTES": "8"]])
  func `a device without room ends the run with what would help`(_ settings: [String: String]) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), settings)
    // The plan says that it cannot fit.
    let failed = try Program.run(
      Self.short + ["--force", "--device", "ascend", "--output", folder.path("out/")],
      environment: emulator.environment)
    #expect(failed.status == 1 && failed.errorLines.count == 1, "\(failed.errors)")
    #expect(failed.errorLine.contains("out of memory") && failed.errorLine.contains("--use-cpu-offload"))
    #expect(try emulator.report() == [])
  }

  @Test func `weights that the device has no room for do not hinder a run that leaves them with the host`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["MEGABYTES": "8"])
    let result = try Program.run(
      Self.short + ["--use-cpu-offload", "--force", "--device", "ascend", "--output", folder.path("out/")],
      environment: emulator.environment)
    // The decoder's tiles need more.
    #expect(result.status == 1 && result.errorLines.count == 1, "\(result.errors)")
    #expect(result.errorLine.contains("the latents are saved, finish the video with: hyvideo decode"))
    #expect(try emulator.report() == [])
  }

  @Test func `what cannot fit a card is refused with what the card has free`() throws {
    let folder = TemporaryFolder()
    let small = EmulatedDevices(report: folder.path("report"), ["MEGABYTES": "8"])
    let refused = try Program.run(
      Self.short + ["--device", "ascend", "--output", folder.path("out/")], environment: small.environment)
    #expect(refused.status == 64 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errorLine.contains("of device memory (free on ascend:0)"), "\(refused.errorLine)")
    #expect(try small.report() == [])
  }

  @Test func `devices are listed with memory, chip and libraries`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["DEVICES": "2", "MEGABYTES": "1000"])
    let result = try Program.run(["devices", "--json"], environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    let list = try #require(try JSONValue(bytes: Array(result.output.utf8), file: "output").object)
    #expect(list["cpu"]?.object?["cores"]?.int ?? 0 > 0)
    #expect(list["cpu"]?.object?["onednn"]?.string?.isEmpty == false)
    let npus = list["ascend"]?.array?.compactMap(\.object) ?? []
    #expect(npus.map { $0["name"]?.string } == ["ascend:0", "ascend:1"])
    #expect(npus.allSatisfy { $0["total_bytes"]?.int == 1000 << 20 && $0["free_bytes"]?.int == 1000 << 20 })
    #expect(npus.allSatisfy { $0["warning"] == nil })
    #expect(npus.allSatisfy { $0["chip"]?.string == "Ascend910B3-emulated" })
    let libraries = list["cann"]?.object?["libraries"]?.array?.compactMap(\.string) ?? []
    #expect(libraries.contains { $0.hasSuffix("libAscendEmulator.so") })
    #expect(try emulator.report() == [])
  }

  @Test(arguments: ["Ascend310P3", "Ascend910B", "Ascend910_9391"])
  func `a chip whose limits are not known is used with a warning`(_ chip: String) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["DEVICES": "1", "CHIP": chip])
    let list = try Program.run(["devices", "--json"], environment: emulator.environment)
    let npu = try JSONValue(bytes: Array(list.output.utf8), file: "output").object?["ascend"]?.array?.first?.object
    #expect(npu?["warning"]?.string?.contains("the chip \(chip) is not an Ascend 910B of an Atlas A2") == true)
    let text = try Program.run(["devices"], environment: emulator.environment)
    #expect(text.output.contains("warning: the chip \(chip) is not"), "\(text.output)")
    if chip == "Ascend310P3" {
      let run = try Program.run(
        Self.short + [
          "--video-size", "48", "80", "--device", "ascend", "--output", folder.path("out/"), "--report",
          folder.path("report.json"),
        ], environment: emulator.environment)
      #expect(run.status == 0, "\(run.errors)")
      #expect(run.errors.split(separator: "\n").count { $0.contains("warning: the chip Ascend310P3") } == 1)
      let warnings = try JSONValue(contentsOf: folder.path("report.json")).object?["warnings"]?.array ?? []
      #expect(warnings.compactMap(\.string).contains { $0.contains("Ascend310P3") })
      let plan = try Program.run(["plan", "--device", "ascend", "--json"], environment: emulator.environment)
      #expect(plan.status == 0 && plan.errors.hasPrefix("warning: the chip Ascend310P3 is not"), "\(plan.errors)")
    }
    #expect(try emulator.report(processes: chip == "Ascend310P3" ? 4 : 2) == [])
  }

  @Test func `measurements on a chip whose limits are not known have the warning`() throws {
    let folder = TemporaryFolder()
    let bench = [
      "bench", "linear", "--device", "ascend", "--tokens", "8", "--width", "16", "--outputs", "16", "--json",
    ]
    for (chip, count) in [("Ascend310P3", 1), ("Ascend910B4", 0)] {
      let emulator = EmulatedDevices(report: folder.path(chip), ["CHIP": chip])
      let result = try Program.run(bench, environment: emulator.environment)
      #expect(result.status == 0, "\(result.errors)")
      #expect(
        result.errors.split(separator: "\n").count { $0.hasPrefix("warning: the chip") } == count, "\(result.errors)")
      let object = try #require(try JSONValue(bytes: Array(result.output.utf8), file: "output").object)
      #expect(object["warnings"]?.array?.count ?? 0 == count)
      #expect(try emulator.report() == [])
    }
  }

  @Test func `where there are no NPUs, the places that were searched are named`() throws {
    let environment = ["HYVIDEO_CANN_LIBRARY_PATH": "/nowhere"]
    let list = try Program.run(["devices"], environment: environment)
    #expect(list.status == 0 && list.output.contains("/nowhere") && list.output.contains("set_env.sh"))
    let run = try Program.run(Self.short + ["--device", "ascend"], environment: environment)
    #expect(run.status == 64 && run.errorLine.contains("/nowhere"), "\(run.errors)")
  }

  @Test(arguments: [
    (["--device", "ascend:1"], ["--device", "an index below 1"]), (["--device", "ascend:x"], ["ascend:INDEX"]),
    (["--device", "ascend", "--precision", "fp32"], ["--precision", "bf16 or fp16"]),
    (["--vae-precision", "fp16"], ["--vae-precision", "fp32 on this device"]),
    (["--device", "ascend", "--ranks", "2"], ["--device", "a card for each of the 2 ranks", "1 card"]),
  ])
  func `what a device cannot do is refused before any work`(_ flags: [String], _ expected: [String]) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["DEVICES": "1"])
    let result = try Program.run(
      Self.short + flags + ["--output", folder.path("out/")], environment: emulator.environment)
    #expect(result.status == 64 && result.errorLines.count == 1, "\(result.errors)")
    for part in expected { #expect(result.errorLine.contains(part), "\(result.errorLine)") }
  }

  @Test(arguments: [("0,1", "2"), ("5", "1")])
  func `ranks that would share a card are told apart by what they may see`(_ visible: String, _ devices: String) throws
  {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["DEVICES": devices])
    let result = try Program.run(
      Self.short + ["--device", "ascend:1", "--ranks", "2", "--output", folder.path("out/")],
      environment: emulator.environment.merging(["ASCEND_RT_VISIBLE_DEVICES": visible]) { $1 })
    #expect(result.status == 64 && result.errorLine.contains("a card for each of the 2 ranks"), "\(result.errors)")
  }

  @Test func `a profile of an NPU tells its profilers of steps and blocks`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"))
    let result = try Program.run(
      Self.short + [
        "--device", "ascend", "--output", folder.path("out/"), "--prof-dit", "--profile", folder.path("trace.json"),
      ], environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    let report = try emulator.report()
    for line in ["tools: range step 1", "tools: range step 2", "tools: range denoise"] {
      #expect(report.count { $0 == line } == 1, "\(line): \(report.prefix(20))")
    }
    #expect(report.contains { $0.hasPrefix("tools: mark transformer: step 2: ") })
    #expect(report.allSatisfy { $0.hasPrefix("tools: ") && !$0.contains("unfinished") }, "\(report)")
    // The device's own times: each step once more, and in it blocks and operations.
    let trace = try JSONValue(contentsOf: folder.path("trace.json"))["traceEvents"].array ?? []
    let device = trace.filter { $0["cat"].string == "device" && $0["tid"].int == 3 }
    func slices(_ name: String) -> [(start: Double, duration: Double)] {
      device.filter { $0["name"].string == name }.map { ($0["ts"].double ?? 0, $0["dur"].double ?? -1) }
    }
    let step = try #require(slices("step 2").first)
    let operations = slices("attention").filter { $0.start >= step.start && $0.start < step.start + step.duration }
    #expect(!operations.isEmpty && operations.allSatisfy { $0.duration >= 0 }, "\(device.count) slices")
    let inside = trace.filter { $0["cat"].string == "operation" && $0["name"].string == "attention" }
    #expect(slices("attention").count == inside.count)
    #expect(device.contains { $0["name"].string?.hasPrefix("transformer: single_blocks.") == true })
    let summary = try Program.run(["profile", "summary", folder.path("trace.json")])
    #expect(summary.status == 0 && summary.output.contains("attention"), "\(summary.errors)")
  }

  @Test func `every operation agrees with the reference in the program itself`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"))
    let result = try Program.run(
      ["bench", "--device", "ascend", "--conformance", "--json"], environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    let table = try #require(try JSONValue(bytes: Array(result.output.utf8), file: "output").object)
    let rows = table["rows"]?.array?.compactMap(\.object) ?? []
    #expect(rows.count > 1000 && table["agreeing"]?.int == rows.count)
    #expect(table["warnings"]?.array?.isEmpty == true && !result.errors.contains("warning"))
    #expect(Set(rows.compactMap { $0["dtype"]?.string }) == ["bf16", "fp16"])
    let operations = Set(rows.compactMap { $0["operation"]?.string })
    #expect(
      operations.isSuperset(of: ["linear", "attention", "groupNorm", "causalConvolution", "headNorm"]), "\(operations)")
    #expect(try emulator.report() == [])
  }

  @Test func `a conformance table shows what differs, and ends with 1`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["FAIL_KERNEL": "5", "CHIP": "Ascend310P3"])
    let result = try Program.run(
      ["bench", "--device", "ascend", "--conformance"], environment: emulator.environment)
    #expect(result.errors.contains("warning: the chip Ascend310P3 is not"), "\(result.errors)")
    #expect(result.status == 1 && result.output.contains("failed"), "\(result.errors)")
    #expect(result.output.contains("the kernel failed, on demand"))
  }
}

/// What the program is given to run on emulated NPUs.
struct EmulatedDevices {
  let environment: [String: String]
  private let path: String

  /// - Parameters:
  ///   - path: the file in which the emulator says at the end what was wrong.
  ///   - settings: more variables, by the ends of their names.
  init(report path: String, _ settings: [String: String] = [:]) {
    self.path = path
    let library = BuiltProducts.path("libAscendEmulator.so")
    var environment = ["HYVIDEO_CANN_LIBRARY_PATH": library, "HYVIDEO_ASCEND_EMULATOR_REPORT": path]
    for (name, value) in settings { environment["HYVIDEO_ASCEND_EMULATOR_\(name)"] = value }
    self.environment = environment
  }

  /// What was wrong, and what profilers were told, in all processes: nothing where all is well.
  func report(processes: Int = 1) throws -> [String] {
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
      // Behind the number of the process.
      String($0.drop { $0.isNumber }.dropFirst())
    }
    #expect(lines.count { $0 == "end" } == processes, "\(lines.count) lines")
    return lines.filter { $0 != "end" }
  }
}
