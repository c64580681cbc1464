import Checkpoints
import TensorCore
import TensorTesting
import Testing

struct CheckpointTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func shard(_ name: String, _ keys: String...) throws {
    var random = RandomCheckpoint(seed: 1)
    for key in keys { random.add(key, shape: [2, 3], dtype: .float16) }
    try random.write(to: folder.path(name))
  }

  private func index(_ map: [String: String]) throws {
    let pairs = map.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ",")
    try folder.write("{\"metadata\":{\"total_size\":24},\"weight_map\":{\(pairs)}}", "model.safetensors.index.json")
  }

  private func error() throws -> CheckpointError {
    try #require(throws: CheckpointError.self) { try Checkpoint(path: folder.path) }
  }

  @Test func `a file and a folder with one file hold the same tensors`() throws {
    try shard("model.safetensors", "b", "a")
    try folder.write("{}", "config.json")
    for path in [folder.path("model.safetensors"), folder.path, folder.path + "/"] {
      let checkpoint = try Checkpoint(path: path)
      #expect(checkpoint.tensors.map(\.name) == ["b", "a"])
      #expect(checkpoint.elementCount == 12 && checkpoint.byteCount == 24 && checkpoint.typeCounts == ["float16": 2])
      #expect(checkpoint["a"]?.shape == [2, 3] && checkpoint["c"] == nil)
    }
  }

  @Test func `shards named by an index are one checkpoint`() throws {
    try shard("model-00001-of-00002.safetensors", "a")
    try shard("model-00002-of-00002.safetensors", "b", "c")
    try shard("unrelated.safetensors", "a")
    try index([
      "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
      "c": "model-00002-of-00002.safetensors",
    ])
    let checkpoint = try Checkpoint(path: folder.path)
    #expect(checkpoint.tensors.map(\.name) == ["a", "b", "c"])
    #expect(checkpoint.files.count == 2)
    #expect(checkpoint["c"]?.file == folder.path("model-00002-of-00002.safetensors"))
  }

  @Test func `several files without an index are one checkpoint`() throws {
    try shard("1.safetensors", "a")
    try shard("2.safetensors", "b")
    #expect(try Checkpoint(path: folder.path).tensors.map(\.name) == ["a", "b"])
  }

  @Test func `a name in two files is an error that names both`() throws {
    try shard("1.safetensors", "a")
    try shard("2.safetensors", "a")
    let error = try error()
    #expect(error == .duplicateKey(key: "a", files: [folder.path("1.safetensors"), folder.path("2.safetensors")]))
    #expect("\(error)".contains("1.safetensors") && "\(error)".contains("2.safetensors"))
  }

  @Test func `a shard that is not there is named`() throws {
    try shard("1.safetensors", "a")
    try index(["a": "1.safetensors", "b": "2.safetensors"])
    #expect("\(try error())".hasPrefix("missing file: \(folder.path("2.safetensors")): expected the shard that"))
  }

  @Test func `a key that the shard does not have is named`() throws {
    try shard("1.safetensors", "a")
    try index(["a": "1.safetensors", "b": "1.safetensors"])
    let message = "\(try error())"
    #expect(message.contains("index.json: b: expected it in 1.safetensors, found none there"))
  }

  @Test func `a key that the index does not have is named`() throws {
    try shard("1.safetensors", "a", "b")
    try index(["a": "1.safetensors"])
    #expect("\(try error())".contains("index.json: b: expected no such key, found it in 1.safetensors"))
  }

  @Test func `a key in another shard than the index says is named`() throws {
    try shard("1.safetensors", "a", "b")
    try shard("2.safetensors", "c")
    try index(["a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"])
    #expect("\(try error())".contains("index.json: b: expected it in 2.safetensors, found it in 1.safetensors"))
  }

  @Test(arguments: ["../1.safetensors", "/etc/passwd", "sub/1.safetensors", "1.bin", "a\\u0000.safetensors"])
  func `an index that leaves its folder is refused`(name: String) throws {
    try shard("1.safetensors", "a")
    try index(["a": name])
    #expect("\(try error())".contains("weight_map: a: expected the name of a safetensors file beside the index"))
  }

  @Test(arguments: [
    "{}", "[]", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":1}}", "{\"weight_map\":", "{\"weight_map\":{}}",
  ])
  func `an index without a map is refused`(text: String) throws {
    try folder.write(text, "model.safetensors.index.json")
    #expect("\(try error())".contains(folder.path))
  }

  @Test func `two indices are ambiguous`() throws {
    try folder.write("{}", "model.safetensors.index.json")
    try folder.write("{}", "model.fp16.safetensors.index.json")
    #expect("\(try error())".contains("model.fp16.safetensors.index.json, model.safetensors.index.json; name one file"))
  }

  @Test func `a folder without weights and an absent path are named`() throws {
    #expect(
      try error() == .missingFile(path: folder.path, reason: "a file of weights (safetensors, pt, gguf) in this folder")
    )
    let absent = folder.path("absent")
    let error = try #require(throws: CheckpointError.self) { try Checkpoint(path: absent) }
    #expect("\(error)".contains(absent))
    #expect(throws: CheckpointError.self) { try Checkpoint(path: "/dev/null") }
  }

  @Test func `a checkpoint in memory gives views of its tensors`() throws {
    let whole = Tensor([1, 2, 3, 4] as [Float], shape: [4])
    let checkpoint = Checkpoint([("a", whole.slice(0, 2..<4))])
    #expect(try #require(checkpoint["a"]).tensor.floats() == [3, 4])
  }
}
