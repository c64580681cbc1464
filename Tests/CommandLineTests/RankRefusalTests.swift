import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// What ranks do not begin with.
@Suite(.serialized) struct RankRefusalTests {
  private func settings(_ folder: TemporaryFolder) -> [String] {
    [
      "generate", "--prompt", "A blue square.", "--seed", "3", "--infer-steps", "2", "--video-length", "1",
      "--output", folder.path("a.mp4"),
    ]
  }

  @Test(
    arguments: [
      (["--seed", "4"], "--seed: expected 3 as on rank 0, found 4 on rank 1"),
      (["--infer-steps", "3"], "--infer-steps: expected 2 as on rank 0, found 3 on rank 1"),
      (["--prompt", "A red square."], "--prompt: expected A blue square. as on rank 0"),
      (["--no-check"], "--no-check"), (["--no-use-vae-parallel"], "--use-vae-parallel"),
      (["--ring-degree", "2"], "--ring-degree"), (["--video-length", "6"], "rank 1: invalid length: --video-length"),
      (["--bogus"], "rank 1: bad command line: Unknown option '--bogus'"),
      (["--model", "/nowhere"], "rank 1: "), (["--ranks", "3"], "rank 1: wrong rank count: --ranks"),
    ])
  func `a rank with another setting is refused on all, by name`(_ difference: (flags: [String], words: String)) throws {
    let folder = TemporaryFolder()
    let first = settings(folder) + ["--ulysses-degree", "2"]
    let second =
      difference.flags[0] == "--ring-degree"
      ? settings(folder) + difference.flags : Self.replacing(difference.flags, in: first)
    let result = try Program.run([(1, first), (1, second)])
    #expect(result.status == 64, "\(result.errors)")
    #expect(result.errorLines.count == 1 && result.errorLine.contains(difference.words), "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.mp4")))
  }

  /// A command line with other values of flags, or with more flags.
  private static func replacing(_ flags: [String], in words: [String]) -> [String] {
    var words = words
    for index in stride(from: 0, to: flags.count, by: 2) {
      if index + 1 < flags.count, let place = words.firstIndex(of: flags[index]) {
        words[place + 1] = flags[index + 1]
      } else {
        words += flags[index..<min(index + 2, flags.count)]
      }
    }
    return words
  }

  @Test(
    arguments: [
      (["--version"], "--version"), (["generate", "--help"], "generate --help"),
      (["verify", "--threads", "1"], "verify"),
      (["inspect", "/a/model"], "inspect"),
    ])
  func `a rank that does something else is refused on all, by name`(_ other: (flags: [String], name: String)) throws {
    let folder = TemporaryFolder()
    for isFirst in [false, true] {
      let kinds: [(ranks: Int, arguments: [String])] = [(1, settings(folder)), (1, other.flags)]
      let result = try Program.run(isFirst ? kinds.reversed() : kinds)
      #expect(result.status == 64, "\(result.errors)")
      let (first, second) = isFirst ? (other.name, "generate") : ("generate", other.name)
      #expect(
        result.errorLines.count == 1
          && result.errorLine.contains("the command: expected \(first) as on rank 0, found \(second) on rank 1"),
        "\(result.errors)")
      #expect(result.output.isEmpty, "\(result.output)")
    }
  }

  @Test func `what all ranks do for themselves they may do`() throws {
    let result = try Program.run(ranks: 3, ["--version"])
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
    #expect(result.output.split(separator: "\n").count == 3)
  }

  @Test func `a rank that ends before it has joined is missed within seconds, by name`() throws {
    let folder = TemporaryFolder()
    let start = Date()
    let result = try Program.run([(2, settings(folder)), (1, [])], others: "/bin/true")
    // About four on an idle machine.
    #expect(Date().timeIntervalSince(start) < 30)
    #expect(result.status == 1 && result.errorLines.count == 1, "\(result.errors)")
    #expect(result.errorLine.contains("rank 2 is gone"), "\(result.errors)")
  }

  @Test func `tasks of srun that do not know of each other are told how to`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(settings(folder), environment: ["SLURM_STEP_NUM_TASKS": "2"])
    #expect(result.status == 0 && result.errors.contains("srun --mpi=pmix"), "\(result.errors)")
  }

  @Test func `a rank with another checkpoint is refused on all`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let path = model + "/text_encoder_2/model.safetensors"
    var changed = try Checkpoint(path: path).tensors.map { (name: $0.name, tensor: $0.tensor) }
    let last = changed.count - 1
    var values = changed[last].tensor.floats()
    values[0] += 1
    changed[last].tensor = Tensor(values, shape: changed[last].tensor.shape)
    try FileManager.default.removeItem(atPath: path)
    try SafetensorsWriter.write(changed, to: path)
    let result = try Program.run([(1, settings(folder)), (1, settings(folder) + ["--model", model])])
    #expect(result.status == 64, "\(result.errors)")
    #expect(result.errorLines.count == 1 && result.errorLine.contains("the checkpoint's hash"), "\(result.errors)")
  }

  @Test(
    arguments: [
      (["--ranks", "3", "--ulysses-degree", "2"], "--ulysses-degree: expected a divisor of 3 ranks, found 2"),
      (["--ranks", "4", "--ulysses-degree", "2", "--ring-degree", "4"], "expected a product of 4 ranks, found 2 x 4"),
      (["--ranks", "0"], "--ranks"), (["--ring-degree", "2"], "--ring-degree: expected a divisor of 1 rank"),
      (["--ranks", "2", "--video-length", "6"], "error: invalid length: --video-length"),
      (["--ranks", "2", "--prompt", " "], "error: empty prompt"),
    ])
  func `what all ranks refuse is said once, as by one process`(_ difference: (flags: [String], words: String)) throws {
    let folder = TemporaryFolder()
    let result = try Program.run(Self.replacing(difference.flags, in: settings(folder)))
    #expect(result.status == 64, "\(result.errors)")
    #expect(result.errors.split(separator: "\n").count == 1, "nothing of the launcher's: \(result.errors)")
    #expect(result.errorLine.contains(difference.words), "\(result.errors)")
  }

  @Test func `a missing launcher is named`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(settings(folder) + ["--ranks", "2"], environment: ["PATH": folder.root])
    #expect(result.status == 64 && result.errorLine.contains("mpirun"), "\(result.errors)")
  }

  @Test func `a launcher is found where its folder is a link`() throws {
    let folder = TemporaryFolder()
    let path = "/bin:\(ProcessInfo.processInfo.environment["PATH"] ?? "")"
    let result = try Program.run(settings(folder) + ["--ranks", "2"], environment: ["PATH": path])
    #expect(result.status == 0 && !result.output.isEmpty, "\(result.errors)")
  }

  @Test func `a launcher that fails is quoted in one line`() throws {
    let folder = TemporaryFolder()
    let script = """
      #!/bin/sh
      [ "$1" = --version ] && echo "mpirun (Open MPI) 4.1.4" && exit 0
      echo "--------------------------------------------------------------------------" >&2
      echo "There are not enough slots" >&2
      echo "in the system." >&2
      echo "--------------------------------------------------------------------------" >&2
      exit 213
      """
    try script.write(toFile: folder.path("mpirun"), atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path("mpirun"))
    let path = "\(folder.root):\(ProcessInfo.processInfo.environment["PATH"] ?? "")"
    let result = try Program.run(settings(folder) + ["--ranks", "2"], environment: ["PATH": path])
    #expect(result.status == 1)
    #expect(
      result.errors.split(separator: "\n").count == 1
        && result.errorLine.contains("There are not enough slots in the system."), "\(result.errors)")
  }
}
