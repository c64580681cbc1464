import Checkpoints
import TensorCore
import TensorOps
import TensorTesting
import Testing

struct GGUFFileTests {
  let path = Goldens.path("formats/gguf/types.gguf")

  /// The numbers of a tensor by way of an identity matrix: the reference widens each format in plain loops.
  private func numbers(_ tensor: CheckpointTensor, in path: String? = nil) throws -> [Float] {
    if tensor.blocks == nil { return tensor.tensor.floats() }
    let scope = WeightScope(try Checkpoint(path: path ?? self.path, tensor))
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

  @Test func `blocks of the smaller types give the numbers that the format's own package gives`() throws {
    let path = Goldens.path("small_blocks/types.gguf")
    let expected = try Goldens.tensors("small_blocks/expected.safetensors")
    let checkpoint = try Checkpoint(path: path)
    #expect(Set(checkpoint.tensors.compactMap(\.blocks)) == [.q2K, .q3K, .iq4NL, .iq4XS])
    for tensor in checkpoint.tensors {
      let wanted = try expected.tensor(tensor.name)
      #expect(tensor.shape == wanted.shape, "\(tensor.name)")
      expectClose(Tensor(try numbers(tensor, in: path), shape: tensor.shape), wanted, relative: 1e-6, tensor.name)
      let format = try #require(tensor.blocks)
      let bytes = tensor.tensor
      var widened = [Float](repeating: 0, count: tensor.shape.count)
      widened.withUnsafeMutableBufferPointer { target in
        if let target = target.baseAddress {
          format.widen(0..<tensor.shape.count, of: bytes.hostPointer, to: target)
        }
      }
      expectClose(Tensor(widened, shape: tensor.shape), wanted, relative: 1e-6, "\(tensor.name) widened")
    }
  }

  @Test(arguments: [[8, 2, 1, 2, 2], [16, 1, 2, 2], [8, 8], [8, 2, 2, 2], [64], [8, 2, 4]] as [[Int]])
  func `the weights of a convolution are read with joined axes`(dimensions: [Int]) throws {
    let folder = try TemporaryFolder()
    var writer = GGUFWriter()
    writer.extents = dimensions.reversed().map { UInt64($0) }
    writer.data = (0..<64).flatMap { index in withUnsafeBytes(of: Float(index).bitPattern.littleEndian) { Array($0) } }
    let checkpoint = try Checkpoint(path: try folder.write(writer.bytes(), "model.gguf"))
    let weight = try WeightScope(checkpoint).weight("w", shape: [8, 2, 1, 2, 2])
    #expect(weight.shape == [8, 2, 1, 2, 2] && weight.tensor.floats() == (0..<64).map { Float($0) })
    let parts = try WeightScope(checkpoint).rowParts("w", shape: [8, 2, 1, 2, 2])
    #expect(parts.count == 1 && parts[0].shape == [8, 2, 1, 2, 2])
  }

  @Test(arguments: [[4, 4, 1, 2, 2], [2, 8, 2, 2], [32, 2], [4, 16], [2, 2, 8, 2, 1]] as [[Int]])
  func `other axes than joined ones are another shape`(dimensions: [Int]) throws {
    let folder = try TemporaryFolder()
    var writer = GGUFWriter()
    writer.extents = dimensions.reversed().map { UInt64($0) }
    writer.data = [UInt8](repeating: 0, count: 256)
    let scope = WeightScope(try Checkpoint(path: try folder.write(writer.bytes(), "model.gguf")))
    let isJoined = dimensions == [32, 2]
    if !isJoined { #expect(throws: CheckpointError.self) { try scope.weight("w", shape: [8, 2, 1, 2, 2]) } }
    // A matrix of another network is never taken for a folded one.
    #expect(throws: CheckpointError.self) { try scope.weight("w", shape: [16, 4]) }
  }

  @Test func `joined axes of whole blocks are widened, also where a note tells the first extents`() throws {
    let folder = try TemporaryFolder()
    for isNoted in [false, true] {
      var writer = GGUFWriter()
      if isNoted {
        writer.add(
          note: "comfy.gguf.orig_shape.w", type: 9, 5 as UInt32, 5 as UInt64, 2 as UInt32, 8 as UInt32, 1 as UInt32,
          2 as UInt32, 2 as UInt32)
      }
      (writer.type, writer.extents) = (8, [32, 2])
      let half = withUnsafeBytes(of: Float16(0.5).bitPattern.littleEndian) { Array($0) }
      writer.data = (0..<2).flatMap { row in half + (0..<32).map { UInt8($0 + row) } }
      let checkpoint = try Checkpoint(path: try folder.write(writer.bytes(), "model.gguf"))
      let weight = try WeightScope(checkpoint).weight("w", shape: [2, 8, 1, 2, 2])
      let wanted = (0..<2).flatMap { row in (0..<32).map { 0.5 * Float($0 + row) } }
      #expect(weight.shape == [2, 8, 1, 2, 2] && weight.tensor.floats() == wanted)
    }
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
