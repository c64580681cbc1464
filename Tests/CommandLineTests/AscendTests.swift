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
    #expect(try emulator.report() == ["end"])
    let report = try JSONValue(contentsOf: folder.path("report.json")).object
    #expect(report?["settings"]?.object?["device"]?.string == "ascend:0")
    #expect(report?["settings"]?.object?["precision"]?.string == "bf16")
    #expect(report?["environment"]?.object?["chip"]?.string == "Ascend910B-emulated")
  }

  @Test func `weights that stay with the host give the same video, with a part of the memory`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"))
    for (name, flags) in [("resident", []), ("streamed", ["--use-cpu-offload"])] {
      let result = try Program.run(
        Self.short + flags + [
          "--device", "ascend", "--output", folder.path("\(name)/"), "--save-latents", folder.path(name),
          "--report", folder.path(name + ".json"),
        ], environment: emulator.environment)
      #expect(result.status == 0, "\(result.errors)")
    }
    #expect(try latents(folder.path("streamed")) == latents(folder.path("resident")))
    #expect(try emulator.report() == ["end", "end"])
    let peaks = try ["resident", "streamed"].map { name in
      let stages = try JSONValue(contentsOf: folder.path(name + ".json")).object?["stages"]?.array ?? []
      return try #require(
        stages.compactMap(\.object).first { $0["name"]?.string == "denoise" }?["peak_device_bytes"]?.int)
    }
    #expect(peaks[1] < peaks[0], "\(peaks)")
  }

  @Test(arguments: [1, 400, 900])
  func `a kernel that fails ends the run with CANN's words, and what was computed is kept`(_ n: Int) throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["FAIL_KERNEL": "\(n)"])
    let whole = Self.short + ["--device", "ascend", "--output", folder.path("out/")]
    let failed = try Program.run(whole, environment: emulator.environment)
    #expect(failed.status == 1 && failed.errorLines.count == 1, "\(failed.errors)")
    #expect(failed.errorLine.contains("507015") && failed.errorLine.contains("on demand"), "\(failed.errorLine)")
    #expect(try emulator.report() == ["end"])
  }

  @Test func `devices are listed with memory, chip and libraries`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["DEVICES": "2", "MEMORY": "1000000000"])
    let result = try Program.run(["devices", "--json"], environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    let list = try #require(try JSONValue(bytes: Array(result.output.utf8), file: "output").object)
    #expect(list["cpu"]?.object?["cores"]?.int ?? 0 > 0)
    #expect(list["cpu"]?.object?["onednn"]?.string?.isEmpty == false)
    let npus = list["ascend"]?.array?.compactMap(\.object) ?? []
    #expect(npus.map { $0["name"]?.string } == ["ascend:0", "ascend:1"])
    #expect(npus.allSatisfy { $0["total_bytes"]?.int == 1_000_000_000 && $0["free_bytes"]?.int == 1_000_000_000 })
    #expect(npus.allSatisfy { $0["chip"]?.string == "Ascend910B-emulated" })
    let libraries = list["cann"]?.object?["libraries"]?.array?.compactMap(\.string) ?? []
    #expect(libraries.contains { $0.hasSuffix("libAscendEmulator.so") })
    #expect(try emulator.report() == ["end"])
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

  @Test func `a profile of an NPU tells its profilers of steps and blocks`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"))
    let result = try Program.run(
      Self.short + [
        "--device", "ascend", "--output", folder.path("out/"), "--prof-dit", "--profile", folder.path("trace.json"),
      ], environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    let report = try emulator.report()
    for line in ["range step 1", "range step 2", "range denoise"] {
      #expect(report.count { $0 == line } == 1, "\(line): \(report.prefix(20))")
    }
    #expect(report.contains { $0.hasPrefix("mark transformer: step 2: ") })
    #expect(!report.contains { $0.hasPrefix("unfinished") || $0.hasPrefix("violation") || $0.hasPrefix("leak") })
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
    #expect(Set(rows.compactMap { $0["dtype"]?.string }) == ["bf16", "fp16"])
    let operations = Set(rows.compactMap { $0["operation"]?.string })
    #expect(
      operations.isSuperset(of: ["linear", "attention", "groupNorm", "convolution", "headNorm"]), "\(operations)")
    #expect(try emulator.report() == ["end"])
  }

  @Test func `a conformance table shows what differs, and ends with 1`() throws {
    let folder = TemporaryFolder()
    let emulator = EmulatedDevices(report: folder.path("report"), ["FAIL_KERNEL": "5"])
    let result = try Program.run(
      ["bench", "--device", "ascend", "--conformance"], environment: emulator.environment)
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
    let library = Bundle.main.bundleURL.deletingLastPathComponent().appendingPathComponent("libAscendEmulator.so").path
    var environment = ["HYVIDEO_CANN_LIBRARY_PATH": library, "HYVIDEO_ASCEND_EMULATOR_REPORT": path]
    for (name, value) in settings { environment["HYVIDEO_ASCEND_EMULATOR_\(name)"] = value }
    self.environment = environment
  }

  /// The lines of the report: one `end` for each process where all is well.
  func report() throws -> [String] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
  }
}
