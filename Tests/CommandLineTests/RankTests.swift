import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// Ranks that are processes, under a launcher on this host, against one process.
@Suite(.serialized) struct RankTests {
  struct Sharing: Sendable, CustomTestStringConvertible {
    let ulysses: Int
    let ring: Int
    var video = ["--video-size", "80", "112", "--video-length", "9"]

    var ranks: Int { ulysses * ring }
    var testDescription: String { "\(ulysses) x \(ring), \(video.joined(separator: " "))" }
  }

  private static let guided = ["--video-size", "48", "80", "--video-length", "5", "--cfg-scale", "3"]
  private static let picture = ["--video-size", "16", "32", "--video-length", "1"]

  /// Some layouts of each number of ranks: threads go through all of them elsewhere. The demo has 4 heads; the picture 2
  /// tokens.
  static let sharings = [
    Sharing(ulysses: 2, ring: 1), Sharing(ulysses: 1, ring: 2), Sharing(ulysses: 3, ring: 1, video: guided),
    Sharing(ulysses: 2, ring: 2), Sharing(ulysses: 5, ring: 1), Sharing(ulysses: 1, ring: 5, video: picture),
    Sharing(ulysses: 2, ring: 3), Sharing(ulysses: 7, ring: 1, video: picture), Sharing(ulysses: 4, ring: 2),
    Sharing(ulysses: 2, ring: 4, video: guided),
  ]

  private static func settings(_ sharing: Sharing, _ folder: TemporaryFolder, _ name: String) -> [String] {
    [
      "generate", "--prompt", "A red ball moves from left to right on a black background.", "--seed", "3",
      "--infer-steps", "4", "--threads", "1", "--progress", "none", "--output", folder.path("\(name)/"),
      "--save-latents", folder.path("\(name).latents"), "--save-frames", folder.path("\(name).frames"), "--report",
      folder.path("\(name).json"),
    ] + sharing.video
  }

  @Test(arguments: sharings)
  func `ranks make the video of one process`(_ sharing: Sharing) throws {
    let folder = TemporaryFolder()
    let one = try Program.run(Self.settings(sharing, folder, "one"))
    #expect(one.status == 0, "\(one.errors)")
    let many = try Program.run(
      ranks: sharing.ranks,
      Self.settings(sharing, folder, "many")
        + ["--ulysses-degree", "\(sharing.ulysses)", "--ring-degree", "\(sharing.ring)"])
    #expect(many.status == 0, "\(many.errors)")
    #expect(many.output == folder.path("many/") + "\n", "one rank prints the result")

    let expected = try Checkpoint(path: folder.path("one.latents"))
    let found = try Checkpoint(path: folder.path("many.latents"))
    #expect(expected.tensors.count == 6 && found.tensors.count == 6)
    for tensor in expected.tensors {
      expectClose(try #require(found[tensor.name]).tensor, tensor.tensor, relative: 1e-5, tensor.name)
    }
    let video = try #require(try Checkpoint(path: folder.path("many.frames"))["video"]).tensor
    expectClose(
      video, try #require(try Checkpoint(path: folder.path("one.frames"))["video"]).tensor, relative: 1e-4, "video")

    let report = try JSONValue(contentsOf: folder.path("many.json")).object
    let steps = report?["steps"]?.array ?? []
    #expect(report?["ranks"]?.int == sharing.ranks && report?["per_rank"]?.array?.count == sharing.ranks)
    #expect(steps.count == 4 && steps.allSatisfy { $0.object?["bytes_sent"]?.int ?? 0 > 0 })
    let inSteps = steps.reduce(0) { $0 + ($1.object?["bytes_sent"]?.int ?? 0) }
    #expect(report?["bytes_sent"]?.int ?? 0 >= inSteps)
    #expect(report?["communication_seconds"]?.double ?? 0 > 0)
  }

  @Test func `ranks that decode alone and together give the same frames`() throws {
    let folder = TemporaryFolder()
    var videos: [[Float]] = []
    for (index, flag) in ["--use-vae-parallel", "--no-use-vae-parallel"].enumerated() {
      let settings = [
        "generate", "--prompt", "A blue square.", "--seed", "3", "--infer-steps", "1", "--video-size", "80", "144",
        "--video-length", "5", "--output", folder.path("a\(index)/"), "--save-frames", folder.path("f\(index)"), flag,
      ]
      let result = try Program.run(settings + ["--ranks", "3"])
      #expect(result.status == 0, "\(result.errors)")
      videos.append(try #require(try Checkpoint(path: folder.path("f\(index)"))["video"]).tensor.floats())
    }
    #expect(videos[0] == videos[1])
  }

  @Test func `ranks without a seed share that of the first`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(
      ranks: 3,
      [
        "generate", "--prompt", "A blue square.", "--infer-steps", "1", "--video-length", "1", "--save-path",
        folder.path("videos"), "--report", folder.path("report"),
      ])
    #expect(result.status == 0, "\(result.errors)")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path("videos"))
    let seed = try #require(JSONValue(contentsOf: folder.path("report")).object?["seed"]?.int)
    #expect(files.count == 1 && files[0].contains("seed\(seed)_"), "\(files)")
  }

  @Test(arguments: [1, 2, 3])
  func `a step cache decides alike on all ranks`(_ ranks: Int) throws {
    let folder = TemporaryFolder()
    let result = try Program.run([
      "generate", "--prompt", "A blue square.", "--seed", "3", "--infer-steps", "12", "--video-length", "5", "--cache",
      "teacache", "--ranks", "\(ranks)", "--output", folder.path("a/"), "--report", folder.path("report"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    let computed = try JSONValue(contentsOf: folder.path("report")).object?["steps_computed"]?.int
    #expect((1..<12).contains(computed ?? 0))
  }
}
