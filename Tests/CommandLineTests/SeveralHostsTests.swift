import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

/// Ranks on hosts that have names, addresses and a wire of their own, made of network namespaces. Where those cannot be made,
/// without root for example, nothing is tested.
@Suite(.serialized, .enabled(if: EmulatedHosts.areThere)) struct SeveralHostsTests {
  /// The words that start two ranks on each of two hosts; neighbours on one host use the wire too.
  private func command(_ arguments: [String]) -> [String] {
    let words = arguments.map { "'\($0)'" }.joined(separator: " ")
    let launcher = "mpirun -q --allow-run-as-root --hostfile $HOSTFILE --bind-to none --mca btl self,tcp"
    return ["2", "bash", "-c", "exec \(launcher) '\(Program.path)' \(words)"]
  }

  private let model = ["--model", Goldens.repositoryPath("Models/demo"), "--threads", "1"]

  @Test func `hosts exchange keys and values, ranks of a host heads, and the video is that of one rank`() throws {
    let result = try Program.run(program: EmulatedHosts.tool, command(["verify", "--json"] + model))
    #expect(result.status == 0, "\(result.errors)")
    let object = try JSONValue(bytes: Array(result.output.utf8), file: "output").object
    #expect(object?["ulysses_degree"]?.int == 2 && object?["ring_degree"]?.int == 2)
    #expect(object?["agrees"]?.bool == true && object?["decoding_is_identical"]?.bool == true, "\(result.output)")
  }

  @Test func `a rank that is killed on another host is named with it, and the run is saved`() throws {
    let folder = TemporaryFolder()
    let settings = [
      "generate", "--prompt", "A red ball.", "--seed", "11", "--infer-steps", "5000", "--video-length", "1",
      "--checkpoint-every", "3", "--output", folder.path("a.mp4"),
    ]
    let process = try Program.start(
      program: EmulatedHosts.tool, command(settings + model), errors: folder.path("errors"))
    while process.isRunning && !FileManager.default.fileExists(atPath: folder.path("a.run.safetensors")) {
      Thread.sleep(forTimeInterval: 0.01)
    }
    kill(try #require(Program.ranks(of: folder.path("a.mp4"))[3]), SIGKILL)
    #expect(Program.ends(process, within: 10))
    let text = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    let lines = text.split(separator: "\n").filter { $0.contains("error: ") }
    #expect(lines.count == 1 && lines[0].contains("rank 3 is gone") && lines[0].contains("on node-2"), "\(text)")
    #expect(try Checkpoint(path: folder.path("a.run.safetensors"))["latents"] != nil)
  }
}

/// The script that makes hosts.
private enum EmulatedHosts {
  static let tool = Goldens.repositoryPath("Tools/ranks/emulated-hosts")
  static let areThere = (try? Program.run(program: tool, ["1", "mpirun", "--version"]).status) == 0
}
