import Checkpoints
import TensorCore
import TensorTesting
import Testing

struct PyTorchFileTests {
  private func path(_ name: String) -> String { Goldens.path("formats/pytorch/\(name)") }

  /// Expects the tensors of `expected.safetensors`, floating-point ones larger by `offset`.
  private func expectWeights(_ checkpoint: Checkpoint, offset: Float = 0) throws {
    let expected = try Goldens.tensors("formats/pytorch/expected.safetensors")
    #expect(checkpoint.tensors.map(\.name).sorted() == expected.names.sorted())
    for name in expected.names {
      let (tensor, wanted) = (try #require(checkpoint[name]), try expected.tensor(name))
      #expect(tensor.shape == wanted.shape && tensor.dtype == wanted.dtype, "\(name)")
      if offset == 0 {
        #expect(tensor.tensor.isContiguous && tensor.tensor.floats() == wanted.floats(), "\(name)")
      } else if wanted.dtype.isFloatingPoint {
        let difference = zip(tensor.tensor.floats(), wanted.floats()).map { abs($0 - $1 - offset) }.max() ?? 0
        #expect(difference < 0.02, "\(name)")
      }
    }
  }

  @Test(arguments: [
    "bare_protocol_2.pt", "bare_protocol_3.pt", "bare_protocol_4.pt", "bare_protocol_5.pt", "deflated.pt", "wide.pt",
    "module_and_ema.pt", "state_dict.pt",
  ])
  func `files of all protocols, methods and wrappers hold what safetensors has`(name: String) throws {
    try expectWeights(try Checkpoint(path: path(name)))
  }

  @Test func `a key chooses the wrapper`() throws {
    try expectWeights(try Checkpoint(path: path("module_and_ema.pt"), loadKey: "module"))
    try expectWeights(try Checkpoint(path: path("module_and_ema.pt"), loadKey: "ema"), offset: 1)
    let error = try #require(throws: CheckpointError.self) {
      try Checkpoint(path: path("module_and_ema.pt"), loadKey: "model")
    }
    #expect(error == .missingLoadKey(file: path("module_and_ema.pt"), key: "model", found: ["module", "ema"]))
  }

  @Test(arguments: ["parameters.pth", "with_metadata.pth"])
  func `parameters and state dictionaries of modules are read`(name: String) throws {
    let expected = try Goldens.tensors("formats/pytorch/expected.safetensors")
    let checkpoint = try Checkpoint(path: path(name))
    #expect(checkpoint.tensors.map(\.name) == ["weight", "bias"])
    #expect(
      try #require(checkpoint["weight"]).tensor.floats() == expected.tensor("blocks.0.weight").floats())
    #expect(try #require(checkpoint["bias"]).tensor.floats() == expected.tensor("blocks.0.bias").floats())
  }

  @Test func `stored dense tensors are views of the file, and views of one storage share it`() throws {
    let checkpoint = try Checkpoint(path: path("bare_protocol_2.pt"))
    func tensor(_ name: String) throws -> Tensor { try #require(checkpoint[name]).tensor }
    #expect(try tensor("blocks.0.weight").storage is MappedFile)
    #expect(try tensor("fused.rows").hostPointer == tensor("fused.all").hostPointer + 4 * 8 * 4)
    #expect(!(try tensor("fused.columns").storage is MappedFile))
  }

  @Test func `a copy that was released is made again`() throws {
    let tensor = try #require(try Checkpoint(path: path("deflated.pt"))["fused.all"]).tensor
    let before = tensor.floats()
    tensor.storage.release(0..<tensor.storage.byteCount)
    #expect(tensor.floats() == before)
  }

  @Test func `the only PyTorch file of a folder is its checkpoint, two are ambiguous`() throws {
    let folder = try TemporaryFolder()
    let bytes = try Fixture.bytes(path("state_dict.pt"))
    try folder.write(bytes, "pytorch_model.pt")
    try folder.write("{}", "config.json")
    try expectWeights(try Checkpoint(path: folder.path))
    try folder.write(bytes, "other.pth")
    let error = try #require(throws: CheckpointError.self) { try Checkpoint(path: folder.path) }
    #expect(error == .ambiguous(folder: folder.path, candidates: ["other.pth", "pytorch_model.pt"]))
  }
}
