import Foundation
import Testing

/// Weights are mapped from files that others can write to during a run.
@Suite(.serialized) struct LostFileTests {
  private let weights = "/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
  private let settings = [
    "generate", "--prompt", "A red ball.", "--seed", "3", "--infer-steps", "400", "--video-length", "5", "--threads",
    "2",
  ]

  private func started(_ folder: TemporaryFolder, _ model: String) throws -> Process {
    let process = try Program.start(
      settings + ["--model", model, "--save-latents", folder.path("latents.st"), "--output", folder.path("a.mp4")],
      errors: folder.path("errors"))
    try Program.wait(for: "denoise: 1/", in: folder.path("errors"), of: process)
    return process
  }

  @Test(arguments: ["cut", "emptied", "written over"])
  func `a file that is lost during a run is named, and the run goes on when it is back`(_ way: String) throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let whole = try Program.run(
      settings + ["--model", model, "--save-latents", folder.path("whole.st"), "--output", folder.path("whole.mp4")])
    #expect(whole.status == 0, "\(whole.errors)")
    let kept = try Data(contentsOf: URL(fileURLWithPath: model + weights))
    let process = try started(folder, model)
    switch way {
    case "cut": truncate(model + weights, off_t(kept.count / 2))
    case "emptied": truncate(model + weights, 0)
    default:
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: model + weights))
      try file.seek(toOffset: UInt64(kept.count / 2))
      try file.write(contentsOf: Data(repeating: 0x3C, count: 4096))
      try file.close()
    }
    process.waitUntilExit()
    let errors = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    #expect(process.terminationReason == .exit && process.terminationStatus == 1, "\(errors)")
    let lines = errors.split(separator: "\n").filter { $0.contains("error: ") }
    #expect(lines.count == 1 && lines[0].contains("a file was lost while it was read: \(model)\(weights)"), "\(errors)")
    #expect(lines.first?.contains("--resume \(folder.path("a.run.safetensors"))") == true, "\(errors)")

    try kept.write(to: URL(fileURLWithPath: model + weights))
    let resumed = try Program.run(["generate", "--resume", folder.path("a.run.safetensors")])
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: folder.path("a.mp4")))
        == Data(contentsOf: URL(fileURLWithPath: folder.path("whole.mp4"))))
  }

  @Test func `a file that gets a new one in its place is read to the end`() throws {
    let folder = TemporaryFolder()
    let model = try folder.copyOfDemo()
    let process = try started(folder, model)
    try Data(repeating: 1, count: 4096).write(to: URL(fileURLWithPath: model + weights), options: .atomic)
    process.waitUntilExit()
    let errors = try String(contentsOfFile: folder.path("errors"), encoding: .utf8)
    #expect(process.terminationStatus == 0, "\(errors)")
  }
}
