import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// The program on emulated NPUs with the first, second, third … of something failing, until a run does not get that far: each run ends
/// with one error that says what would help, breaks no rule, leaves nothing on the device, and keeps what it has made.
@Suite struct AscendSweepTests {
  private static let flags = [
    "--prompt", "A red ball moves from left to right on a black background.", "--seed", "7", "--infer-steps", "2",
    "--video-size", "48", "80", "--video-length", "5", "--progress", "none", "--device", "ascend",
  ]

  /// What a run leaves.
  private enum End: Equatable {
    /// No step was done.
    case nothing
    /// Steps that a run can go on from.
    case steps(Int)
    /// Latents to be decoded.
    case latents
    case video
  }

  /// Runs the program with one failure.
  /// - Parameters:
  ///   - setting: what fails, and where.
  ///   - words: what the error says.
  private func end(
    _ folder: TemporaryFolder, _ setting: (name: String, number: Int), ranks: Int, _ more: [String],
    saying words: [String], status: Int32
  ) throws -> End {
    let name = "\(setting.name)-\(setting.number)"
    let emulator = EmulatedDevices(
      report: folder.path("\(name).report"),
      [
        // A device whose memory is taken in small segments.
        setting.name: "\(setting.number)", "MEGABYTES": "1000", "DEVICES": "\(ranks)", "SECONDS": "20",
      ])
    let video = folder.path("\(name).mp4")
    let arguments = ["generate"] + Self.flags + more + ["--output", video]
    let result =
      try ranks == 1
      ? Program.run(arguments, environment: emulator.environment)
      : Program.run(ranks: ranks, arguments, environment: emulator.environment)
    if ranks == 1 { #expect(try emulator.report() == [], "\(name)") }
    let saved = folder.path("\(name).run.safetensors")
    let isSaved = FileManager.default.fileExists(atPath: saved)
    if result.status == 0 {
      #expect(FileManager.default.fileExists(atPath: video) && !isSaved, "\(name)")
      return .video
    }
    let errors = ranks == 1 ? result.errorLines : Array(Set(result.errorLines))
    #expect(result.status == status && errors.count == 1, "\(name): status \(result.status), \(result.errors)")
    let line = errors.first ?? ""
    for word in words { #expect(line.contains(word), "\(name): \(line)") }
    #expect(!FileManager.default.fileExists(atPath: video), "\(name)")
    if line.contains("finish the video with: hyvideo decode \(saved)") {
      #expect(isSaved, "\(name): \(line)")
      return .latents
    }
    if let steps = (1...2).first(where: {
      line.contains("after step \($0) of 2; go on with: hyvideo generate --resume \(saved)")
    }) {
      #expect(isSaved, "\(name): \(line)")
      return .steps(steps)
    }
    #expect(!isSaved, "\(name): \(line)")
    return .nothing
  }

  /// Runs with ever later failures until one makes the video: all early ones, then fewer and fewer.
  /// - Parameter next: the number of the next failure; all where absent.
  /// - Returns: how runs ended, by the number of the failure.
  private func sweep(
    _ folder: TemporaryFolder, _ name: String, ranks: Int = 1, _ more: [String] = [], saying words: [String],
    status: Int32 = 1, next: (Int) -> Int = { $0 < 12 ? $0 + 1 : 4 * $0 / 3 }
  ) throws -> [(number: Int, end: End)] {
    var ends: [(number: Int, end: End)] = []
    var number = 1
    while ends.last?.end != .video && number < 10_000 {
      ends.append((number, try end(folder, (name, number), ranks: ranks, more, saying: words, status: status)))
      number = next(number)
    }
    #expect(ends.last?.end == .video, "\(ends)")
    return ends
  }

  /// Does what the error of a run says.
  private func finish(_ folder: TemporaryFolder, _ name: String, _ end: End) throws {
    let emulator = EmulatedDevices(report: folder.path("\(name).second"))
    let saved = folder.path("\(name).run.safetensors")
    let arguments =
      end == .latents
      ? ["decode", saved, "--output", folder.path("\(name).mp4"), "--device", "ascend"]
      : ["generate", "--resume", saved]
    let result = try Program.run(arguments, environment: emulator.environment)
    #expect(result.status == 0, "\(result.errors)")
    #expect(try emulator.report() == [] && FileManager.default.fileExists(atPath: folder.path("\(name).mp4")))
  }

  @Test func `the device has no room at the first, second, third … allocation`() throws {
    let folder = TemporaryFolder()
    let ends = try sweep(
      folder, "FAIL_ALLOCATION", saying: ["out of memory: ", "more bytes", "are in use", "--use-cpu-offload"])
    #expect(ends.count > 8 && ends[0].end == .nothing, "\(ends)")
    let last = try #require(ends.last { $0.end == .latents }, "\(ends)")
    try finish(folder, "FAIL_ALLOCATION-\(last.number)", last.end)
  }

  @Test func `the host has no room for pinned memory`() throws {
    let ends = try sweep(
      TemporaryFolder(), "FAIL_PINNED", ["--use-cpu-offload"], saying: ["out of memory: aclrtMallocHost", "ulimit -l"],
      status: 64)
    // Two buffers without which there is no device. Weights that cannot be brought beside the work are brought by it.
    #expect(ends.map(\.end) == [.nothing, .nothing, .video], "\(ends)")
  }

  @Test func `kernels fail here and there`() throws {
    let folder = TemporaryFolder()
    let ends = try sweep(folder, "FAIL_KERNEL", saying: ["507015", "on demand"]) { $0 < 100 ? 10 * $0 : $0 + 130 }
    for kind in [End.steps(1), .latents] {
      let last = try #require(ends.last { $0.end == kind }, "\(ends)")
      try finish(folder, "FAIL_KERNEL-\(last.number)", kind)
    }
    #expect(ends[0].end == .nothing, "\(ends)")
  }

  @Test func `one of two devices has no room, for tensors or for its communicators`() throws {
    let ends = try sweep(
      TemporaryFolder(), "FAIL_ALLOCATION", ranks: 2, ["--ulysses-degree", "2"], saying: ["memory"]
    ) { 2 * $0 }
    #expect(ends.first?.end == .nothing && ends.count > 2, "\(ends)")
  }
}
