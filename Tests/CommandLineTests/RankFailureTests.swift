import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// Ranks that end before the others.
@Suite(.serialized) struct RankFailureTests {
  private func settings(_ folder: TemporaryFolder, steps: Int) -> [String] {
    [
      "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "11",
      "--infer-steps", "\(steps)", "--video-length", "1", "--threads", "1", "--output", folder.path("a.mp4"),
    ]
  }

  private func errors(_ folder: TemporaryFolder) throws -> [String] {
    try String(contentsOfFile: folder.path("errors"), encoding: .utf8).split(separator: "\n").map(String.init)
      .filter { $0.contains("error: ") }
  }

  @Test(arguments: [(3, 1), (3, 0), (2, 1)])
  func `the others end when a rank is killed, name it and leave the run whole`(_ lost: (of: Int, rank: Int)) throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      ranks: lost.of, settings(folder, steps: 5000) + ["--checkpoint-every", "3"], errors: folder.path("errors"))
    try Program.wait(for: "denoise: 1/", in: folder.path("errors"), of: process)
    while process.isRunning && !FileManager.default.fileExists(atPath: folder.path("a.run.safetensors")) {
      Thread.sleep(forTimeInterval: 0.002)
    }
    let ranks = Program.ranks(of: folder.path("a.mp4"))
    #expect(ranks.count == lost.of)
    kill(try #require(ranks[lost.rank]), SIGKILL)
    #expect(Program.ends(process, within: 10))
    #expect(process.terminationStatus != 0 && Program.ranks(of: folder.path("a.mp4")).isEmpty)
    let lines = try errors(folder)
    #expect(lines.count == 1 && lines[0].contains("rank \(lost.rank) is gone"), "\(lines)")
    #expect(lines.first?.contains("--resume \(folder.path("a.run.safetensors"))") == true, "\(lines)")
    let saved = try Checkpoint(path: folder.path("a.run.safetensors"))
    #expect(saved["latents"]?.tensor.floats().allSatisfy(\.isFinite) == true)
  }

  @Test(arguments: [0, 1])
  func `of ranks that the program has started itself, the last word is its own`(_ lost: Int) throws {
    let folder = TemporaryFolder()
    let process = try Program.start(settings(folder, steps: 5000) + ["--ranks", "3"], errors: folder.path("errors"))
    try Program.wait(for: "denoise: 1/", in: folder.path("errors"), of: process)
    kill(try #require(Program.ranks(of: folder.path("a.mp4"))[lost]), SIGKILL)
    #expect(Program.ends(process, within: 10))
    #expect(process.terminationStatus == 1)
    let text = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    let lines = text.split(separator: "\n")
    #expect(lines.last?.hasPrefix("error: rank \(lost) is gone") == true, "\(text)")
    #expect(!lines.contains { $0.hasPrefix("[") || $0.hasPrefix("---") || $0.contains("mpirun") }, "\(text)")
  }

  @Test func `a rank that fails ends all with its reason and status 1`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let path = model + "/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
    var tensors = try Checkpoint(path: path).tensors.map { (name: $0.name, tensor: $0.tensor) }
    let index = try #require(tensors.firstIndex { $0.name == "double_blocks.1.img_mlp.fc1.weight" })
    var values = tensors[index].tensor.floats()
    values[17] = .infinity
    tensors[index].tensor = Tensor(values, shape: tensors[index].tensor.shape)
    try FileManager.default.removeItem(atPath: path)
    try SafetensorsWriter.write(tensors, to: path)
    let result = try Program.run(settings(folder, steps: 2) + ["--model", model, "--ranks", "3"])
    #expect(result.status == 1, "\(result.errors)")
    #expect(result.errorLines.count == 1, "\(result.errors)")
    #expect(result.errorLine.contains("rank ") && result.errorLine.contains("double_blocks.1"), "\(result.errors)")
  }

  enum Target: Sendable { case program, launcher, lastRank }

  @Test(arguments: [(Target.program, SIGINT), (.program, SIGTERM), (.lastRank, SIGTERM), (.launcher, SIGINT)])
  func `a signal ends all ranks and saves the run`(_ stop: (target: Target, signal: Int32)) throws {
    let folder = TemporaryFolder()
    let whole = try uninterrupted(folder)
    let flags = settings(folder, steps: 1500) + ["--checkpoint-every", "0"]
    let process =
      stop.target == .program
      ? try Program.start(flags + ["--ranks", "2"], errors: folder.path("errors"))
      : try Program.start(ranks: 2, flags, errors: folder.path("errors"))
    try Program.wait(for: "denoise: 1/", in: folder.path("errors"), of: process)
    let rank = try #require(Program.ranks(of: folder.path("a.mp4"))[1])
    kill(stop.target == .lastRank ? rank : process.processIdentifier, stop.signal)
    #expect(Program.ends(process, within: 10))
    #expect(Program.ranks(of: folder.path("a.mp4")).isEmpty)
    let lines = try errors(folder)
    // The launcher itself ends ranks with SIGTERM, whatever it was sent.
    let name = stop.signal == SIGINT && stop.target == .program ? "SIGINT" : "SIGTERM"
    #expect(lines.count == 1 && lines[0].contains("interrupted: \(name)"), "\(lines)")
    if stop.target != .launcher { #expect(process.terminationStatus == 128 + stop.signal) }
    try expectSameLatents(folder, as: whole)
  }

  @Test func `two ranks that are killed at any moment go on with the same bits`() throws {
    let folder = TemporaryFolder()
    let whole = try uninterrupted(folder)
    var resumed = 0
    for (index, moment) in [0, 0.05, 0.3].enumerated() {
      let process = try Program.start(
        ranks: 2, settings(folder, steps: 1500) + ["--checkpoint-every", "1"], errors: folder.path("errors"))
      while process.isRunning && !FileManager.default.fileExists(atPath: folder.path("a.run.safetensors")) {
        Thread.sleep(forTimeInterval: 0.002)
      }
      Thread.sleep(forTimeInterval: moment)
      let ranks = Program.ranks(of: folder.path("a.mp4"))
      // One of them, the other, both at once.
      for (rank, process) in ranks where index == 2 || rank == index { kill(process, SIGKILL) }
      #expect(Program.ends(process, within: 10))
      if FileManager.default.fileExists(atPath: folder.path("a.run.safetensors")) {
        resumed += 1
        // The file knows how many there were.
        try expectSameLatents(folder, as: whole, index == 0 ? ["--ranks", "2"] : [])
      }
      try? FileManager.default.removeItem(atPath: folder.path("a.mp4"))
    }
    #expect(resumed > 0, "no run was killed between its first step and its end")
  }

  /// The latents of all steps on two ranks.
  private func uninterrupted(_ folder: TemporaryFolder) throws -> Checkpoint {
    let path = folder.path("whole.safetensors")
    let result = try Program.run(ranks: 2, settings(folder, steps: 1500) + ["--save-latents", path])
    #expect(result.status == 0, "\(result.errors)")
    try FileManager.default.removeItem(atPath: folder.path("a.mp4"))
    return try Checkpoint(path: path)
  }

  @Test func `a run that goes on with another number of ranks is warned of`() throws {
    let folder = TemporaryFolder()
    let process = try Program.start(
      ranks: 2, settings(folder, steps: 600) + ["--checkpoint-every", "1"], errors: folder.path("errors"))
    let saved = folder.path("a.run.safetensors")
    while process.isRunning && !FileManager.default.fileExists(atPath: saved) { Thread.sleep(forTimeInterval: 0.002) }
    for (_, process) in Program.ranks(of: folder.path("a.mp4")) { kill(process, SIGKILL) }
    #expect(Program.ends(process, within: 10))
    let result = try Program.run([
      "generate", "--resume", saved, "--ranks", "1", "--report", folder.path("report.json"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    let warning = "and goes on with 1 rank"
    #expect(
      result.errors.contains("warning: the run was saved on 2 ranks (") && result.errors.contains(warning),
      "\(result.errors)")
    let report = try String(contentsOfFile: folder.path("report.json"), encoding: .utf8)
    #expect(report.contains(warning))
  }

  /// Goes on on two ranks, and compares.
  private func expectSameLatents(_ folder: TemporaryFolder, as whole: Checkpoint, _ flags: [String] = []) throws {
    let saved = folder.path("a.run.safetensors")
    let result = try Program.run(
      ["generate", "--resume", saved, "--save-latents", folder.path("rest.safetensors")] + flags)
    #expect(result.status == 0 && !result.errors.contains("warning"), "\(result.errors)")
    let rest = try Checkpoint(path: folder.path("rest.safetensors"))
    #expect(rest["latents"] != nil && !FileManager.default.fileExists(atPath: saved))
    for tensor in rest.tensors {
      #expect(tensor.tensor.floats() == whole[tensor.name]?.tensor.floats(), "\(tensor.name) differs")
    }
  }
}
