import Checkpoints
import TensorCore
import TensorTesting
import Testing

struct CheckpointDigestTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func digest(_ names: String...) throws -> String {
    try CheckpointDigest.sha256(of: names.map(folder.path), relativeTo: folder.path)
  }

  @Test func `the digest is the documented one`() throws {
    try folder.write("abc", "a")
    // sha256(u64(1) "a" u64(3) sha256("abc")), with Python's hashlib.
    #expect(try digest("a") == "dfad7580053bdadbc283264eab0932a4bcbafa372e1ac41091750b9f9ada6175")
    // sha256("")
    #expect(try digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }

  @Test func `the digest does not depend on the order of files or the place of the folder`() throws {
    let other = try TemporaryFolder()
    for place in [folder, other] {
      try place.write("1", "a")
      try place.write("2", "b")
    }
    #expect(try digest("a", "b") == digest("b", "a"))
    #expect(
      try digest("a", "b")
        == CheckpointDigest.sha256(of: [other.path("a"), other.path("b")], relativeTo: other.path + "/"))
  }

  @Test func `names and contents change the digest`() throws {
    try folder.write("1", "a")
    try folder.write("1", "b")
    try folder.write("2", "c")
    #expect(try Set([digest("a"), digest("b"), digest("c"), digest("a", "b"), digest("a", "b", "c")]).count == 5)
    let before = try digest("a")
    try folder.write("3", "a")
    #expect(try digest("a") != before)
  }

  @Test func `a 25 GB file is told apart by size, ends and samples without reading it whole`() throws {
    let path = try folder.write("head", "large")
    let size = 25_000_000_000
    try folder.resize(path, to: size)
    var first = ""
    let duration = try ContinuousClock().measure { first = try digest("large") }
    #expect(duration < .seconds(5))
    #expect(try digest("large") == first)
    try folder.resize(path, to: size + 1)
    let longer = try digest("large")
    #expect(longer != first)
    try folder.overwrite(path, [1], at: size)
    let tail = try digest("large")
    #expect(tail != longer)
    try folder.overwrite(path, [1], at: (size + 1 - 65_536) * 100 / 255)
    #expect(try digest("large") != tail)
  }

  @Test func `a checkpoint has the digest of its files`() throws {
    try RandomCheckpoint(["a": [2]], seed: 1).write(to: folder.path("model.safetensors"))
    #expect(try Checkpoint(path: folder.path).sha256() == digest("model.safetensors"))
    #expect(try Checkpoint(path: folder.path("model.safetensors")).sha256() == digest("model.safetensors"))
  }

  @Test func `a file that is not there is named`() throws {
    let error = try #require(throws: CheckpointError.self) { try digest("absent") }
    #expect("\(error)".contains(folder.path("absent")))
  }
}
