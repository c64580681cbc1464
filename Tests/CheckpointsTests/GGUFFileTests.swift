import Checkpoints
import TensorCore
import TensorOps
import TensorTesting
import Testing

struct GGUFFileTests {
  let path = Goldens.path("formats/gguf/types.gguf")

  /// The numbers of a tensor by way of an identity matrix: the reference widens each format in plain loops.
  private func numbers(_ tensor: CheckpointTensor) throws -> [Float] {
    if tensor.blocks == nil { return tensor.tensor.floats() }
    let scope = WeightScope(try Checkpoint(path: path, tensor))
    let weight = try scope.weight(tensor.name, shape: tensor.shape)
    let ids = Tensor((0..<Int32(tensor.shape[0])).map { $0 }, shape: [tensor.shape[0]])
    return try ReferenceBackend().embedding(ids, table: weight).floats()
  }

  @Test func `all types give the numbers that the format's own package gives`() throws {
    let expected = try Goldens.tensors("formats/gguf/expected.safetensors")
    let checkpoint = try Checkpoint(path: path)
    #expect(checkpoint.tensors.map(\.name).sorted() == expected.names.sorted())
    for tensor in checkpoint.tensors where !tensor.name.hasPrefix("blk.") {
      let wanted = try expected.tensor(tensor.name)
      #expect(tensor.shape == wanted.shape, "\(tensor.name)")
      let values = Tensor(try numbers(tensor), shape: tensor.shape)
      expectClose(values, wanted, relative: 1e-6, tensor.name)
    }
    #expect(checkpoint["Q4_K.random"]?.typeName == "Q4_K" && checkpoint["Q4_K.random"]?.byteCount == 6 * 144)
    #expect(checkpoint["img_in.proj.weight"]?.tensor.storage is MappedFile)
  }

  @Test func `notes are text`() throws {
    let metadata = try Checkpoint(path: path).metadata
    #expect(metadata["general.architecture"] == "hyvid" && metadata["note"] == "é" && metadata["flag"] == "true")
    #expect(metadata["llama.attention.head_count"] == "4" && metadata["sizes"] == "3, 1, 2")
    #expect(metadata["tokens"] == "a list of 40")
  }

  @Test func `the rows of llama cpp's query and key projections come back in their first order`() throws {
    let expected = try Goldens.tensors("formats/gguf/expected.safetensors")
    let heads = ["blk.0.attn_q.weight": 4, "blk.0.attn_k.weight": 2]
    let checkpoint = try Checkpoint(path: path).mapTensors { (tensor) throws(CheckpointError) in
      guard let heads = heads[tensor.name] else { return tensor }
      return try tensor.separatingHalves(heads: heads)
    }
    for name in heads.keys {
      let wanted = try expected.tensor(name)
      let tensor = try #require(checkpoint[name])
      #expect(try numbers(tensor) == wanted.floats(), "\(name)")
      #expect(throws: CheckpointError.self) { try tensor.separatingHalves(heads: 3) }
    }
  }

  @Test func `a row of blocks and a part of the rows are weights`() throws {
    let checkpoint = try Checkpoint(path: path)
    let tensor = try #require(checkpoint["Q6_K.random"])
    let weight = try WeightScope(checkpoint).weight(tensor.name, shape: [3, 512])
    #expect(weight.shape == [3, 512] && weight.dtype == .uint8)
    #expect(weight.rows(1..<3).shape == [2, 512])
    let one = Tensor([0] as [Int32], shape: [1])
    let part = try ReferenceBackend().embedding(one, table: weight.rows(2..<3)).floats()
    #expect(try part == Array(numbers(tensor).suffix(512)))
  }
}

extension Checkpoint {
  /// A checkpoint of one tensor of another, whose form may have been changed.
  fileprivate init(path: String, _ tensor: CheckpointTensor) throws {
    self = try Checkpoint(path: path).mapTensors { $0.name == tensor.name ? tensor : $0 }
  }
}
