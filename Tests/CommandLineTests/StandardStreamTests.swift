import Foundation
import TensorTesting
import Testing

/// Programs are also started with standard streams closed, by daemons and by shells (`>&-`).
@Suite struct StandardStreamTests {
  private static let closed = ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]

  private func run(_ arguments: [String], closing streams: String, in folder: TemporaryFolder) throws -> Int32 {
    try Program.run(
      program: "/bin/sh", ["-c", "exec \"$0\" \"$@\" \(streams)", Program.path] + arguments, in: folder.root
    ).status
  }

  private func bytes(_ folder: TemporaryFolder, _ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
  }

  private let video = [
    "generate", "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "1", "--video-size", "32", "48",
    "--video-length", "5", "--threads", "1",
  ]

  @Test(arguments: closed)
  func `every file is whole, whatever is closed`(_ streams: String) throws {
    let folder = TemporaryFolder()
    // As files are with all streams open.
    let files = ["a.mp4", "latents.st", "frames.st", "a.html", "again.mp4", "clip.safetensors"]
    let commands = [
      video + ["--output", "a.mp4", "--save-latents", "latents.st", "--report", "a.json", "--preview", "1"],
      ["decode", "latents.st", "--output", "again.mp4", "--save-frames", "frames.st"],
      ["convert", Goldens.repositoryPath("Models/demo/text_encoder_2"), "--output", "clip.safetensors"],
      ["reproduce", "a.mp4", "--output", "once.mp4"],
    ]
    for command in commands {
      let result = try Program.run(command, in: folder.root)
      #expect(result.status == 0, "\(result.errors)")
    }
    let expected = try files.filter { $0 != "a.html" }.map { try bytes(folder, $0) }
    for name in files + ["once.mp4", "a.preview.png", "config.json"] {
      try? FileManager.default.removeItem(atPath: folder.path(name))
    }
    for command in commands { #expect(try run(command, closing: streams, in: folder) == 0, "\(command[0]) \(streams)") }
    #expect(try run(["report", "a.json", "--html", "a.html"], closing: streams, in: folder) == 0)
    let found = try files.filter { $0 != "a.html" }.map { try bytes(folder, $0) }
    #expect(zip(expected, found).allSatisfy { $0 == $1 }, "other files with \(streams)")
    #expect(try String(decoding: bytes(folder, "a.html"), as: UTF8.self).hasSuffix("</html>\n"))
    #expect(!FileManager.default.fileExists(atPath: folder.path(".hyvideo-claims")))
  }

  @Test func `ranks are started with the null device for what is closed`() throws {
    let folder = TemporaryFolder()
    let command = video + ["--ranks", "2", "--output", "a.mp4"]
    #expect(try Program.run(command, in: folder.root).status == 0)
    let expected = try bytes(folder, "a.mp4")
    try FileManager.default.removeItem(atPath: folder.path("a.mp4"))
    #expect(try run(command, closing: "<&- >&- 2>&-", in: folder) == 0)
    #expect(try bytes(folder, "a.mp4") == expected)
  }

  @Test func `a result that is printed alone is missed where nothing takes it`() throws {
    let folder = TemporaryFolder()
    for command in [["tokenize", "--prompt", "x"], ["inspect", Goldens.repositoryPath("Models/demo")]] {
      #expect(try run(command, closing: ">&-", in: folder) == 1)
      #expect(try run(command, closing: "> /dev/full", in: folder) == 1)
    }
  }
}
