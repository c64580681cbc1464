import Checkpoints
import TensorCore
import Testing

/// Networks that were saved with the names of what they were wrapped in.
struct WrapperNamesTests {
  let folder: TemporaryFolder
  private let names = ["double_blocks.0.img_mod.linear.weight", "img_in.proj.bias"]

  init() throws { folder = try TemporaryFolder() }

  private func checkpoint(_ names: [String]) throws -> Checkpoint {
    let tensors = names.enumerated().map { (name: $1, tensor: Tensor([Float($0)], shape: [1])) }
    try SafetensorsWriter.write(tensors, metadata: [:], to: folder.path("model.safetensors"))
    return try Checkpoint(path: folder.path("model.safetensors"))
  }

  @Test(arguments: [
    "_orig_mod.", "module.", "_fsdp_wrapped_module.", "_forward_module.", "module._orig_mod.", "_orig_mod.module.",
    "module.module.", "_forward_module._orig_mod.", "_fsdp_wrapped_module._fpw_module.", "ema.", "model_ema.",
    "module.ema.",
  ])
  func `a prefix of a wrapper is no part of a name`(prefix: String) throws {
    let checkpoint = try checkpoint(names.map { prefix + $0 })
    #expect(Set(checkpoint.tensors.map(\.name)) == Set(names))
    #expect(try #require(checkpoint[names[1]]).tensor.floats() == [1])
    #expect(try WeightScope(checkpoint)["img_in"].weight("proj.bias", shape: [1]).name == names[1])
  }

  @Test func `wrappers of single blocks are no part of a name, and names of a network stay`() throws {
    let checkpoint = try checkpoint([
      "double_blocks.0._orig_mod.img_mod.linear.weight",
      "double_blocks.1._checkpoint_wrapped_module.img_mod.linear.bias",
      "_fsdp_wrapped_module.single_blocks.0._fsdp_wrapped_module.linear1.weight", "modules.0.weight", "x.module",
      "plain",
    ])
    #expect(
      Set(checkpoint.tensors.map(\.name)) == [
        "double_blocks.0.img_mod.linear.weight", "double_blocks.1.img_mod.linear.bias",
        "single_blocks.0.linear1.weight",
        "modules.0.weight", "x.module", "plain",
      ])
  }

  @Test func `a PyTorch file of a wrapped network has the network's names`() throws {
    let pickle = Pickle.file(
      Pickle.dictionary(("module.a.weight", Pickle.tensor()), ("module._orig_mod.b.weight", Pickle.tensor())))
    let archive = ZipWriter(pickle: pickle, storages: [[UInt8](repeating: 0, count: 16)])
    let checkpoint = try Checkpoint(path: try folder.write(archive.bytes(), "model.pt"))
    #expect(checkpoint.tensors.map(\.name) == ["a.weight", "b.weight"])
  }

  @Test func `a GGUF file of a wrapped network has the network's names`() throws {
    var writer = GGUFWriter()
    writer.name = "module._orig_mod.w"
    let checkpoint = try Checkpoint(path: try folder.write(writer.bytes(), "model.gguf"))
    #expect(checkpoint.tensors.map(\.name) == ["w"])
  }

  @Test(arguments: [("module.a.weight", "_orig_mod.a.weight"), ("a.weight", "module.a.weight")])
  func `two names that become one are an error that has both`(first: String, second: String) throws {
    let error = try #require(throws: CheckpointError.self) { try checkpoint([first, second]) }
    #expect("\(error)".contains(first) && "\(error)".contains(second) && "\(error)".contains("save one"))
  }

  @Test func `weights beside their average are an error that has a name of each`() throws {
    let error = try #require(throws: CheckpointError.self) { try checkpoint(["a.weight", "ema.a.weight"]) }
    #expect("\(error)".contains("found it as a.weight, ema.a.weight") && "\(error)".contains("save one"))
  }
}
