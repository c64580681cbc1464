import CPUBackend
import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

@Suite(.serialized) struct PlanTests {
  private let prompt = "A red ball moves from left to right on a black background."

  /// Times are kept apart from those of the user.
  private func run(_ arguments: [String], _ folder: TemporaryFolder) throws -> Program.Result {
    try Program.run(arguments, environment: ["XDG_CACHE_HOME": folder.path("cache")])
  }

  @Test func `a limit above what the host has is questioned, and no refusal`() throws {
    let folder = TemporaryFolder()
    let run = ["--video-length", "1", "--infer-steps", "1", "--video-size", "96", "128", "--memory-limit"]
    let warning = "warning: --memory-limit allows 1.00 TB, more than "
    let plan = try self.run(["plan"] + run + ["1TB"], folder)
    #expect(plan.status == 0 && plan.errors.contains(warning), "\(plan.errors)")
    #expect(plan.output.hasPrefix("1 frame of 96x128, 1 step\n"), "\(plan.output)")
    let made = try self.run(
      ["generate", "--prompt", prompt, "--output", folder.path("a.mp4")] + run + ["1TB"], folder)
    #expect(made.status == 0 && made.errors.contains(warning), "\(made.errors)")
    // Each process may have so much: all of them cannot.
    let ranks = try self.run(["plan", "--ranks", "8"] + run + ["1TB"], folder)
    #expect(ranks.errors.contains("allows 8.00 TB (8 ranks of 1.00 TB each), more than "), "\(ranks.errors)")
    let small = try self.run(["plan"] + run + ["500MB"], folder)
    #expect(small.status == 0 && !small.errors.contains("--memory-limit allows"), "\(small.errors)")
  }

  private func stages(_ report: JSONValue?) -> [[String: JSONValue]] {
    report?.object?["stages"]?.array?.compactMap(\.object) ?? []
  }

  @Test(
    arguments: [
      [], ["--video-size", "96", "160", "--video-length", "5"], ["--cfg-scale", "3"],
      ["--video-size", "320", "288", "--video-length", "17"],
      ["--video-size", "128", "128", "--video-length", "33", "--no-vae-tiling"], ["--use-cpu-offload"],
      ["--video-length", "73"], ["--preview", "1"],
      ["--cache", "teacache", "--measure-fidelity", "--video-size", "128", "128"],
    ])
  func `a run holds what was planned`(_ flags: [String]) throws {
    try expectHeld(flags, TemporaryFolder())
  }

  /// Rounded activations and the sums of tiles are working memory of their own.
  @Test(
    arguments: [("bf16", CPUBackend.hasBFloat16Products), ("int8", CPUBackend.hasInt8Products)].filter(\.1).map(\.0))
  func `a run with rounded products holds what was planned`(_ precision: String) throws {
    let folder = TemporaryFolder()
    let weights = folder.path("transformer.safetensors")
    let source = Goldens.repositoryPath("Models/demo/hunyuan-video-t2v-720p/transformers")
    let converted = try run(["convert", source, "--dtype", precision, "--output", weights], folder)
    #expect(converted.status == 0, "\(converted.errors)")
    try expectHeld(
      ["--dit-weight", weights, "--precision", precision, "--video-size", "256", "256", "--video-length", "33"], folder)
  }

  private func expectHeld(_ flags: [String], _ folder: TemporaryFolder) throws {
    let result = try run(
      ["generate", "--prompt", prompt, "--seed", "1", "--infer-steps", "2", "--output", folder.path("a/")]
        + ["--report", folder.path("report.json"), "--threads", "2"] + flags, folder)
    #expect(result.status == 0, "\(result.errors)")
    let plan = try JSONValue(contentsOf: folder.path("report.json")).object?["plan"]
    for stage in stages(plan) {
      let name = stage["name"]?.string ?? ""
      let planned = try #require(stage["host_peak_bytes"]?.int)
      let actual = try #require(stage["actual_peak_bytes"]?.int, "\(name) was not measured")
      // In small stages the program itself decides, whose pages come and go.
      #expect(abs(planned - actual) < max(actual / 10, 16_000_000), "\(name): planned \(planned), took \(actual)")
      let plannedTensors = try #require(stage["tensor_bytes"]?.int)
      let actualTensors = try #require(stage["actual_tensor_bytes"]?.int)
      // Threads keep small working memory, of what was timed before the run too, and how much depends on how they meet.
      #expect(
        abs(plannedTensors - actualTensors) < max(actualTensors / 25, 3_000_000),
        "\(name): planned \(plannedTensors) of tensors, took \(actualTensors)")
      let plannedNew = try #require(stage["new_bytes"]?.int)
      let actualNew = try #require(stage["actual_new_bytes"]?.int)
      #expect(
        abs(plannedNew - actualNew) < max(actualNew / 25, 3_000_000),
        "\(name): planned \(plannedNew) from the system, took \(actualNew)")
    }
    #expect(result.errors.contains("planned: ") && result.errors.contains(", took "), "\(result.errors)")
  }

  @Test func `a run that cannot fit is refused at once, with a command that fits and works`() throws {
    let folder = TemporaryFolder()
    let limit = 200_000_000
    let start = Date()
    let result = try run(
      [
        "generate", "--prompt", "It's \(prompt)", "--infer-steps", "1", "--video-size", "256", "256", "--video-length",
        "65", "--memory-limit", "200MB", "--output", folder.path("a.mp4"), "--report", folder.path("report.json"),
      ], folder)
    #expect(Date().timeIntervalSince(start) < 5)
    #expect(result.status == 64)
    #expect(result.errorLine.contains("does not fit"), "\(result.errors)")
    let command = try #require(result.errorLine.components(separatedBy: "hyvideo generate ").dropFirst().first)
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.mp4")))

    #expect(try shell("'\(Program.path)' generate \(command) > /dev/null 2>&1", folder) == 0, "\(command)")
    let report = try JSONValue(contentsOf: folder.path("report.json")).object
    let peak = try #require(report?["peak_rss_bytes"]?.int)
    #expect(peak <= limit, "\(peak) bytes with \(command)")
  }

  @Test func `a setting that the published network cannot fit is refused within a second, with one that fits`() throws {
    let folder = TemporaryFolder()
    let model = folder.path("model")
    let made = try run(["convert", "--random", "all", "--holes", "--output", model], folder)
    #expect(made.status == 0, "\(made.errors)")
    for part in ["text_encoder", "text_encoder_2"] {
      let demo = Goldens.repositoryPath("Models/demo/\(part)")
      for name in try FileManager.default.contentsOfDirectory(atPath: demo) where !name.hasPrefix("model") {
        if name == "config.json" { continue }
        try FileManager.default.copyItem(atPath: "\(demo)/\(name)", toPath: "\(model)/\(part)/\(name)")
      }
    }
    // Other tests run at the same time: the processor's time counts, as the shell tells it of its children.
    let refused = try Program.run(
      program: "/bin/sh",
      ["-c", "\"$0\" \"$@\"; times", Program.path, "generate", "--model", model]
        + ["--prompt", prompt, "--video-size", "720", "1280", "--video-length", "129", "--memory-limit", "14GB"]
        + ["--output", folder.path("a.mp4")], environment: ["XDG_CACHE_HOME": folder.path("cache")])
    #expect(refused.errorLine.contains("does not fit"), "\(refused.errors)")
    let times = (refused.output.split(separator: "\n").last ?? "").split(separator: " ")
    let seconds = times.compactMap { Double($0.drop { $0 != "m" }.dropFirst().dropLast()) }
    #expect(
      times.allSatisfy { $0.hasPrefix("0m") } && seconds.count == 2 && seconds.reduce(0, +) < 1, "\(refused.output)")
    // A step cache is given up before frames are; where it has no part in what is too large, it stays.
    for (cache, stays) in [("taylorseer", false), ("easycache", true)] {
      let cached = try run(
        ["generate", "--model", model, "--prompt", prompt, "--video-size", "720", "1280", "--video-length", "129"]
          + ["--memory-limit", "14GB", "--cache", cache, "--output", folder.path("a.mp4")], folder)
      #expect(cached.errorLine.contains("--cache none") == !stays, "\(cached.errors)")
      #expect(cached.errorLine.contains("--video-size 720 1280 --video-length 97"), "\(cached.errors)")
    }
    // The command begins to run; with these weights it would take days.
    let words = refused.errorLine.components(separatedBy: "hyvideo generate ").last ?? ""
    let process = try Program.start(
      program: "/bin/sh", ["-c", "exec '\(Program.path)' generate \(words)"], errors: folder.path("errors"),
      environment: ["XDG_CACHE_HOME": folder.path("cache")])
    var errors = ""
    while process.isRunning && !errors.contains("planned: ") {
      Thread.sleep(forTimeInterval: 0.01)
      errors = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    #expect(errors.contains("; fits 14.0 GB (--memory-limit)"), "\(words): \(errors)")
  }

  /// Runs a command line in a shell.
  private func shell(_ line: String, _ folder: TemporaryFolder) throws -> Int32 {
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments = ["-c", line]
    shell.environment = ProcessInfo.processInfo.environment.merging(["XDG_CACHE_HOME": folder.path("cache")]) { $1 }
    try shell.run()
    shell.waitUntilExit()
    return shell.terminationStatus
  }

  @Test func `a saved run that does not fit is not proposed another size, and its rest is planned`() throws {
    let folder = TemporaryFolder()
    let saved = folder.path("a.run.safetensors")
    let process = try Program.start(
      ["generate", "--prompt", prompt, "--infer-steps", "400", "--video-length", "5", "--checkpoint-every", "1"]
        + ["--output", folder.path("a.mp4")], environment: ["XDG_CACHE_HOME": folder.path("cache")])
    while process.isRunning && !FileManager.default.fileExists(atPath: saved) { Thread.sleep(forTimeInterval: 0.002) }
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    let refused = try run(["generate", "--resume", saved, "--memory-limit", "20MB"], folder)
    #expect(refused.status == 64 && !refused.errorLine.contains("--video-"), "\(refused.errors)")
    #expect(refused.errorLine.contains("keeps its size"), "\(refused.errors)")

    let resumed = try run(["generate", "--resume", saved, "--report", folder.path("report.json")], folder)
    #expect(resumed.status == 0, "\(resumed.errors)")
    let report = try JSONValue(contentsOf: folder.path("report.json")).object
    let denoise = try #require(stages(report?["plan"]).first { $0["name"]?.string == "denoise" })
    #expect(denoise["units"]?.int == report?["steps"]?.array?.count, "\(denoise)")
    #expect(denoise["units"]?.int ?? 400 < 400)
  }

  @Test func `force starts a run that is planned not to fit`() throws {
    let folder = TemporaryFolder()
    let flags =
      ["generate", "--prompt", prompt, "--infer-steps", "1", "--video-length", "1", "--output", folder.path("a/")]
    #expect(try run(flags + ["--memory-limit", "10MB"], folder).status == 64)
    #expect(try run(flags + ["--memory-limit", "10MB", "--force"], folder).status == 0)
  }

  @Test func `a plan says what each stage needs, for people and for programs`() throws {
    let folder = TemporaryFolder()
    let text = try run(["plan", "--infer-steps", "5"], folder)
    #expect(text.status == 0, "\(text.errors)")
    for word in ["encode prompts", "denoise (5)", "decode", "layout:", "fits"] { #expect(text.output.contains(word)) }

    let result = try run(["plan", "--json", "--ranks", "4", "--infer-steps", "5"], folder)
    #expect(result.status == 0, "\(result.errors)")
    let plan = try JSONValue(bytes: Array(result.output.utf8), file: "plan").object
    for key in [
      "fits", "host_peak_bytes", "device_peak_bytes", "limit_bytes", "seconds", "seconds_uncertainty", "step_seconds",
      "step_operations", "ranks", "ulysses_degree", "ring_degree", "layout_reason", "stages", "operations", "setting",
    ] { #expect(plan?[key] != nil, "the plan lacks \(key)") }
    #expect(plan?["ranks"]?.int == 4)
    let stages = plan?["stages"]?.array?.compactMap(\.object) ?? []
    #expect(stages.count == 6)
    for key in ["name", "host_peak_bytes", "bytes_read", "bytes_sent", "operations", "seconds"] {
      #expect(stages.allSatisfy { $0[key] != nil }, "a stage lacks \(key)")
    }
    #expect(stages.first { $0["name"]?.string == "denoise" }?["bytes_sent"]?.int ?? 0 > 0)
  }

  @Test func `a plan knows that ranks with more threads than cores take turns`() throws {
    let folder = TemporaryFolder()
    func plan(_ flags: [String]) throws -> [String: JSONValue]? {
      let result = try run(["plan", "--json", "--infer-steps", "5"] + flags, folder)
      #expect(result.status == 0, "\(result.errors)")
      return try JSONValue(bytes: Array(result.output.utf8), file: "plan").object
    }
    let one = try plan([])
    // As many as there are cores.
    let threads = try #require(one?["threads"]?.int)
    #expect(one?["crowding_factor"]?.double == 1 && one?["crowding_warning"] == nil)
    let crowded = try plan(["--ranks", "4", "--threads", "\(threads)"])
    #expect(crowded?["crowding_factor"]?.double == 4)
    #expect(crowded?["crowding_warning"]?.string?.contains("share \(threads) core") == true, "\(crowded as Any)")
    // A quarter of the work, in turns with three others: no faster than one rank, beside what each does for itself.
    let (alone, together) = (one?["step_seconds"]?.double ?? 0, crowded?["step_seconds"]?.double ?? 0)
    #expect(together > 0.5 * alone, "\(together) s, one rank takes \(alone) s")
    #expect(try run(["plan", "--ranks", "4", "--threads", "\(threads)"], folder).output.contains("they take turns"))
  }

  @Test func `a plan that does not fit ends with 64 and a proposal`() throws {
    let folder = TemporaryFolder()
    let result = try run(
      ["plan", "--json", "--video-size", "256", "256", "--video-length", "65", "--memory-limit", "200MB"], folder)
    #expect(result.status == 64)
    let plan = try JSONValue(bytes: Array(result.output.utf8), file: "plan").object
    #expect(plan?["fits"]?.bool == false)
    #expect(plan?["proposal"]?.string?.hasPrefix("hyvideo generate ") == true)
  }

  @Test(arguments: ["0", "-1G", "many", "5X", "1e3G", "G"])
  func `a memory limit that is no size is refused`(_ limit: String) throws {
    let folder = TemporaryFolder()
    #expect(try run(["plan", "--memory-limit=\(limit)"], folder).status == 64)
  }

  @Test func `a run on an NPU is planned without one`() throws {
    let folder = TemporaryFolder()
    let flags = ["--device", "ascend", "--infer-steps", "5", "--ranks", "2", "--ulysses-degree", "2"]
    let result = try run(["plan", "--json"] + flags, folder)
    #expect(result.status == 0, "\(result.errors)")
    let plan = try JSONValue(bytes: Array(result.output.utf8), file: "plan").object
    #expect(plan?["device"]?.string == "ascend")
    #expect(plan?["device_peak_bytes"]?.int ?? 0 > 10_000_000)
    #expect(plan?["device_limit_bytes"]?.int == 60 << 30)
    let kernels = plan?["operations"]?.array?.compactMap { $0.object?["format"]?.string } ?? []
    for name in ["aclnnAddmm", "aclnnFusedInferAttentionScoreV2", "HcclAlltoAllV"] {
      #expect(kernels.contains(name), "\(kernels)")
    }
    let denoise = plan?["stages"]?.array?.compactMap(\.object).first { $0["name"]?.string == "denoise" }
    #expect(denoise?["bytes_sent"]?.int ?? 0 > 0)
    #expect(denoise?["seconds"]?.double ?? 0 > 0)

    let text = try run(["generate", "--prompt", prompt, "--output", folder.path("a.mp4"), "--dry-run"] + flags, folder)
    #expect(text.status == 0, "\(text.errors)")
    for word in ["on the device", "kernels of a step", "roofline", "fits"] { #expect(text.output.contains(word)) }
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.mp4")))
  }

  @Test func `the host of cards that are not here is not checked, and what it needs is told`() throws {
    let folder = TemporaryFolder()
    let flags = ["plan", "--device", "ascend", "--infer-steps", "2", "--ranks", "4"]
    let text = try run(flags, folder)
    #expect(text.status == 0, "\(text.errors)")
    for words in ["ascend:0 to ascend:3, ", "its 4 ranks take", "µs", "(a card of 64 GiB, 4 of them for the system)"] {
      #expect(text.output.contains(words), "\(text.output)")
    }
    let result = try run(flags + ["--json"], folder)
    let plan = try JSONValue(bytes: Array(result.output.utf8), file: "plan").object
    #expect(plan?["limit_bytes"] == nil && plan?["limit_source"] == nil)
    #expect(plan?["cards"]?.array?.count == 4)
    // What opening files took here is no part of it: the bytes by the roofline, and a kernel here and there.
    let loading = stages(.object(try #require(plan))).first { $0["name"]?.string == "load transformer" }
    let (seconds, bytes) = (loading?["seconds"]?.double ?? 1, loading?["bytes_read"]?.double ?? 0)
    #expect(seconds < bytes / 20e9 + 0.002, "\(loading as Any)")

    let refused = try run(flags + ["--memory-limit", "10MB"], folder)
    #expect(refused.status == 64)
    #expect(refused.output.contains("does not fit 10.0 MB (--memory-limit) and"), "\(refused.output)")
  }

  @Test(
    arguments: [
      (["--device", "ascend:8"], "no such NPU: --device: expected an index below 8"),
      (["--device", "ascend:5", "--ranks", "4"], "a card for each of 4 ranks, up to 8, found 8 on an Atlas 800I A2"),
      (["--device", "ascend:1", "--ranks", "16"], "too few NPUs"),
    ])
  func `cards beyond those of a host are refused in a plan, too`(_ flags: [String], _ words: String) throws {
    let folder = TemporaryFolder()
    let result = try run(["plan", "--infer-steps", "2"] + flags, folder)
    #expect(result.status == 64)
    #expect(result.errorLine.contains(words), "\(result.errors)")
  }

  @Test func `a plan is held against the cards and the host that are here`() throws {
    let folder = TemporaryFolder()
    func plan(_ flags: [String]) throws -> Program.Result {
      try Program.run(
        ["plan", "--infer-steps", "2"] + flags,
        environment: [
          "XDG_CACHE_HOME": folder.path("cache"),
          "HYVIDEO_CANN_LIBRARY_PATH": BuiltProducts.path("libAscendEmulator.so"),
          "HYVIDEO_ASCEND_EMULATOR_DEVICES": "2", "HYVIDEO_ASCEND_EMULATOR_MEGABYTES": "3000",
        ])
    }
    let text = try plan(["--device", "ascend:1"])
    #expect(text.status == 0, "\(text.errors)")
    #expect(text.output.contains("of the device (free on ascend:1)"), "\(text.output)")
    #expect(text.output.contains("memory)") && !text.output.contains("not checked"), "\(text.output)")
    let refused = try plan(["--device", "ascend:1", "--ranks", "2"])
    let words = "a card for each of 2 ranks, up to 2, found 2 on this host"
    #expect(refused.errorLine.contains(words), "\(refused.errors)")
  }

  @Test func `a run that does not fit its card is refused with one that does`() throws {
    let folder = TemporaryFolder()
    let result = try run(
      [
        "plan", "--json", "--device", "ascend", "--video-size", "256", "256", "--video-length", "65",
        "--device-memory-limit", "250MB",
      ], folder)
    #expect(result.status == 64)
    let plan = try JSONValue(bytes: Array(result.output.utf8), file: "plan").object
    #expect(plan?["fits"]?.bool == false)
    #expect(plan?["device_limit_source"]?.string == "--device-memory-limit")
    #expect(plan?["proposal"]?.string?.contains("--device ascend") == true)
  }
}
