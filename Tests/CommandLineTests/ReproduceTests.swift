import Foundation
import TensorTesting
import Testing

@Suite struct ReproduceTests {
  private let settings = [
    "--prompt", "A red ball's \"way\": from left to right.", "--neg-prompt=-blurry", "--seed", "31", "--video-size",
    "48", "80", "--video-length", "5", "--infer-steps", "6", "--flow-shift", "2.5", "--embedded-cfg-scale", "5.5",
    "--cfg-scale", "1.5", "--fps", "12", "--no-vae-tiling", "--threads", "1", "--cache", "easycache", "--cache-option",
    "thresh=0.2",
  ]

  @Test(arguments: ["a b.mp4", "frames/"])
  func `a video makes itself again, frame for frame`(_ name: String) throws {
    let folder = TemporaryFolder()
    let made = try Program.run(["generate"] + settings + ["--output", folder.path(name)])
    #expect(made.status == 0, "\(made.errors)")
    let again = try Program.run(["reproduce", folder.path(name)])
    let output = name == "frames/" ? "frames.again/" : "a b.again.mp4"
    #expect(again.status == 0 && again.output == folder.path(output) + "\n", "\(again.errors)")
    #expect(again.errors.contains("identical: all 5 frames"), "\(again.errors)")
    if name != "frames/" {
      // Metadata, settings and all: the same file.
      let files = try [name, output].map { try Data(contentsOf: URL(fileURLWithPath: folder.path($0))) }
      #expect(files[0] == files[1])
    }
    // The command that is printed makes it, too.
    let command = try Program.run([
      "reproduce", folder.path(name), "--dry-run", "--output", folder.path("c.mp4"), "--memory-limit", "1GiB",
    ])
    #expect(command.output.hasSuffix(" --memory-limit 1073741824\n"), "\(command.output)")
    #expect(command.output.hasPrefix("hyvideo generate --prompt "), "\(command.output)")
    #expect(command.output.contains("--cache-option thresh=0.2") && command.output.contains("--no-vae-tiling"))
    #expect(!FileManager.default.fileExists(atPath: folder.path("c.mp4")))
  }

  @Test func `another checkpoint is refused by its hash, and used where that is wanted`() throws {
    let folder = TemporaryFolder()
    let made = try Program.run([
      "generate", "--prompt", "A red ball.", "--seed", "1", "--video-length", "1", "--infer-steps", "2", "--output",
      folder.path("a.mp4"),
    ])
    #expect(made.status == 0, "\(made.errors)")
    let model = try folder.copyOfDemo()
    let path = model + "/hunyuan-video-t2v-720p/vae/pytorch_model.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes[bytes.count - 1] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
    let refused = try Program.run(["reproduce", folder.path("a.mp4"), "--model", model])
    #expect(refused.status == 64 && refused.errorLine.contains("another checkpoint"), "\(refused.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.again.mp4")))
    let forced = try Program.run(["reproduce", folder.path("a.mp4"), "--model", model, "--force"])
    #expect(forced.status == 0, "\(forced.errors)")
  }

  @Test func `noise of a file is asked for by its hash`() throws {
    let folder = TemporaryFolder()
    let common = ["--prompt", "A red ball.", "--video-length", "1", "--infer-steps", "2"]
    let latents = folder.path("latents.safetensors")
    var result = try Program.run(
      ["generate", "--seed", "5", "--save-latents", latents, "--output", folder.path("noise.mp4")] + common)
    #expect(result.status == 0, "\(result.errors)")
    result = try Program.run(
      ["generate", "--seed", "1", "--initial-noise", latents, "--output", folder.path("a.mp4")] + common)
    #expect(result.status == 0, "\(result.errors)")
    let refused = try Program.run(["reproduce", folder.path("a.mp4")])
    #expect(refused.status == 64 && refused.errorLine.contains("--initial-noise"), "\(refused.errors)")
    let again = try Program.run(["reproduce", folder.path("a.mp4"), "--initial-noise", latents])
    #expect(again.status == 0 && again.errors.contains("identical"), "\(again.errors)")
  }

  @Test func `a video without settings is refused`() throws {
    let folder = TemporaryFolder()
    let ffmpeg = Process()
    ffmpeg.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    ffmpeg.arguments = [
      "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=s=32x32:d=1", "-metadata", "title=x", folder.path("x.mp4"),
    ]
    try ffmpeg.run()
    ffmpeg.waitUntilExit()
    for (name, word) in [("x.mp4", "no settings"), ("absent.mp4", "absent.mp4")] {
      let result = try Program.run(["reproduce", folder.path(name)])
      #expect(result.status == 64 && result.errorLine.contains(word), "\(result.errors)")
    }
  }
}
