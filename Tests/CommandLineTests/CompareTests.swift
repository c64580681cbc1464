import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

@Suite struct CompareTests {
  private let first = Goldens.path("fidelity/first.safetensors")
  private let second = Goldens.path("fidelity/second.safetensors")

  private func json(_ text: String) throws -> [String: JSONValue] {
    try #require(try JSONValue(bytes: Array(text.utf8), file: "output").object)
  }

  @Test func `PSNR and SSIM are those of the formulas, per frame and overall`() throws {
    let folder = TemporaryFolder()
    let plot = folder.path("plot.png")
    let result = try Program.run(["compare", first, second, "--json", "--plot", plot])
    #expect(result.status == 0, "\(result.errors)")
    let found = try json(result.output)
    let expected = try #require(try Goldens.json("fidelity/expected.json").object)
    #expect(found["frames"]?.int == 3)
    var pairs = [(found, expected)]
    for (a, b) in zip(try #require(found["per_frame"]?.array), try #require(expected["per_frame"]?.array)) {
      pairs.append((try #require(a.object), try #require(b.object)))
    }
    #expect(pairs.count == 4)
    for (a, b) in pairs {
      for (key, tolerance) in [("psnr_db", 1e-3), ("ssim", 1e-5)] {
        #expect(abs(try #require(a[key]?.double) - (try #require(b[key]?.double))) < tolerance, "\(key): \(a) \(b)")
      }
    }
    let picture = try Data(contentsOf: URL(fileURLWithPath: plot))
    #expect(picture.prefix(8) == Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
  }

  @Test func `tensors are known by their contents, and what stands in the place of a file is named`() throws {
    let folder = TemporaryFolder()
    for name in ["a.sft", "a.mp4", "a"] {
      try FileManager.default.copyItem(atPath: first, toPath: folder.path(name))
      let result = try Program.run(["compare", folder.path(name), first, "--json"])
      #expect(result.status == 0, "\(name): \(result.errors)")
      #expect(try json(result.output)["psnr_db"]?.double == 100)
    }
    for (text, found) in [
      ("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"), ("<!DOCTYPE html>", "a web page"),
      ("", "an empty file"),
    ] {
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder.path("b.mp4")))
      let result = try Program.run(["compare", folder.path("b.mp4"), first])
      #expect(
        result.status == 64 && result.errorLine.contains(found) && result.errorLine.contains("b.mp4"),
        "\(result.errors)")
    }
  }

  @Test func `equal videos are 100 dB apart from nothing, as files, folders and tensors`() throws {
    let folder = TemporaryFolder()
    let paths = [folder.path("a.mp4"), folder.path("a/")]
    for path in paths {
      let result = try Program.run([
        "generate", "--prompt", "A red ball.", "--seed", "1", "--infer-steps", "1", "--video-length", "5", "--output",
        path,
      ])
      #expect(result.status == 0, "\(result.errors)")
    }
    for path in paths + [first] {
      let result = try Program.run(["compare", path, path, "--json"])
      let found = try json(result.output)
      #expect(found["psnr_db"]?.double == 100, "\(result.errors)")
      #expect(abs((found["ssim"]?.double ?? 0) - 1) < 1e-6)
    }
    // The file was compressed, the folder was not.
    let found = try json(try Program.run(["compare", paths[0], paths[1], "--json"]).output)
    #expect((25..<100).contains(found["psnr_db"]?.double ?? 0))
  }

  @Test func `latents are compared step by step`() throws {
    let folder = TemporaryFolder()
    let zero = Tensor(repeating: 1, shape: [1, 2])
    for (name, value) in [("a", Float(1.5)), ("b", Float(1))] {
      let last = Tensor(repeating: value, shape: [1, 2])
      try SafetensorsWriter.write(
        [("step_000", zero), ("step_001", last), ("latents", last)], to: folder.path("\(name).safetensors"))
    }
    let result = try Program.run(["compare", folder.path("a.safetensors"), folder.path("b.safetensors"), "--json"])
    let found = try json(result.output)
    #expect(found["relative_latent_difference"]?.double == 0.5)
    #expect(found["relative_latent_difference_per_step"]?.array?.compactMap(\.double) == [0, 0.5])
    let mixed = try Program.run(["compare", folder.path("a.safetensors"), first])
    #expect(mixed.status == 64 && mixed.errorLine.contains("decode"))
  }

  @Test func `videos of different sizes, broken files and unwritable plots are refused`() throws {
    let folder = TemporaryFolder()
    let small = folder.path("small.safetensors")
    try SafetensorsWriter.write([("video", Tensor(repeating: 0, shape: [1, 3, 1, 8, 8]))], to: small)
    #expect(try Program.run(["compare", small, first]).status == 64)
    let window = try Program.run(["compare", small, small])
    #expect(window.status == 64 && window.errorLine.contains("11"))
    #expect(try Program.run(["compare", first, "/nonexistent.mp4"]).status == 64)
    #expect(try Program.run(["compare", first, second, "--plot", "/nonexistent/a.png"]).status == 64)
  }
}
