import BackendConformance
import Checkpoints
import TensorCore
import TensorOps
import TensorTesting
import Testing

struct ScaledWeightTests {
  let folder: TemporaryFolder
  private let layers = ["double_blocks.0.img_mod.linear", "txt_in.linear"]

  init() throws { folder = try TemporaryFolder() }

  private func path(_ name: String) -> String { Goldens.path("formats/float8/\(name)") }

  private func numbers(_ checkpoint: Checkpoint, _ layer: String) throws -> Tensor {
    let weight = try WeightScope(checkpoint).weight("\(layer).weight", shape: [6, 8])
    return try ReferenceBackend().embedding(Tensor([0, 1, 2, 3, 4, 5] as [Int32], shape: [6]), table: weight)
  }

  private func expect(_ checkpoint: Checkpoint, _ kind: String) throws {
    let expected = try Goldens.tensors("formats/float8/expected.safetensors")
    for layer in layers {
      #expect(try numbers(checkpoint, layer).floats() == expected.tensor("\(kind).\(layer)").floats(), "\(layer)")
    }
  }

  @Test func `Tencent's 8-bit release is multiplied out in bfloat16 with the map beside it`() throws {
    try expect(try Checkpoint(path: path("model_fp8.pt")), "official")
    try folder.write(Fixture.bytes(path("model_fp8.pt")), "model_fp8.pt")
    try folder.write(Fixture.bytes(path("model_fp8_map.pt")), "model_fp8_map.pt")
    try expect(try Checkpoint(path: folder.path), "official")
  }

  @Test(arguments: [("scaled_fp8", "comfy"), ("fp8_scale", "rows"), ("fp8_e4m3fn", "unscaled")])
  func `factors in the file are found under the names of each tool`(file: String, kind: String) throws {
    let checkpoint = try Checkpoint(path: path("\(file).safetensors"))
    try expect(checkpoint, kind)
    let scope = WeightScope(checkpoint)
    for layer in layers { _ = try scope.weight("\(layer).weight", shape: [6, 8]) }
    try scope.finish(ignoring: ["*.bias"])
  }

  @Test func `a PyTorch file of 8-bit numbers without its map is an error that names key and map`() throws {
    let path = try folder.write(Fixture.bytes(path("model_fp8.pt")), "model_fp8.pt")
    let checkpoint = try Checkpoint(path: path)
    let error = try #require(throws: CheckpointError.self) { try numbers(checkpoint, layers[0]) }
    #expect("\(error)".contains("\(layers[0]).weight") && "\(error)".contains("model_fp8_map.pt"))
    #expect(try WeightScope(checkpoint).weight("txt_in.linear.bias", shape: [6]).dtype == .bfloat16)
  }

  private func write(_ tensors: [(name: String, tensor: Tensor)]) throws -> Checkpoint {
    let path = folder.path("model.safetensors")
    try SafetensorsWriter.write(tensors, metadata: [:], to: path)
    return try Checkpoint(path: path)
  }

  private let eightBit = WeightFormat.encode([1, 2, -3, 448], shape: [2, 2], as: .float8E4M3)

  @Test func `a missing factor is an error where the file says that there are some`() throws {
    let one = Tensor([2] as [Float], shape: [1])
    let checkpoint = try write([("a.weight", eightBit), ("b.weight", eightBit), ("a.scale_weight", one)])
    #expect(checkpoint.tensors.map(\.name).sorted() == ["a.weight", "b.weight"])
    _ = try WeightScope(checkpoint).weight("a.weight", shape: [2, 2])
    let error = try #require(throws: CheckpointError.self) {
      try WeightScope(checkpoint).weight("b.weight", shape: [2, 2])
    }
    #expect("\(error)".contains("b.weight") && "\(error)".contains("a.scale_weight"))
  }

  @Test func `int8 rows have factors`() throws {
    let stored = WeightFormat.encode([1, 2, -3, 127], shape: [2, 2], as: .int8)
    let checkpoint = try write([
      ("a.weight", stored), ("b.weight", stored), ("a.weight_scale", Tensor([2, 0.5] as [Float], shape: [2, 1])),
    ])
    let weight = try WeightScope(checkpoint).weight("a.weight", shape: [2, 2])
    let ids = Tensor([0, 1] as [Int32], shape: [2])
    #expect(try ReferenceBackend().embedding(ids, table: weight).floats() == [2, 4, -1.5, 63.5])
    #expect(throws: CheckpointError.self) { try WeightScope(checkpoint).weight("b.weight", shape: [2, 2]) }
  }

  @Test(arguments: [[2, 3], [3], [2, 1, 2]] as [[Int]])
  func `factors of another shape are refused`(dimensions: [Int]) throws {
    let shape = Shape(dimensions)
    let checkpoint = try write([("a.weight", eightBit), ("a.scale_weight", Tensor(repeating: 1, shape: shape))])
    let error = try #require(throws: CheckpointError.self) {
      try WeightScope(checkpoint).weight("a.weight", shape: [2, 2])
    }
    #expect("\(error)".contains("a.scale_weight") && "\(error)".contains("2 rows"))
  }

  @Test(
    arguments: [
      ("a.scale_weight", [4, 2, 1]), ("a.weight_scale_inv", [1, 1]), ("a.weight_scale_inv", [2, 2]),
      ("a.weight_scale", [8]),
      ("a.weight_scale", [4, 4]), ("a.weight_scale_inv", [4, 1]),
    ] as [(String, [Int])])
  func `a factor for each block is named as a format that is not read, one for a matrix or row is read`(
    name: String, dimensions: [Int]
  ) throws {
    let stored = WeightFormat.encode([Float](repeating: 2, count: 32), shape: [4, 8], as: .float8E4M3)
    let checkpoint = try write([("a.weight", stored), (name, Tensor(repeating: 0.5, shape: Shape(dimensions)))])
    let scope = WeightScope(checkpoint)
    if dimensions == [1, 1] || dimensions == [4, 1] {
      let weight = try scope.weight("a.weight", shape: [4, 8])
      #expect(try ReferenceBackend().embedding(Tensor([3] as [Int32], shape: [1]), table: weight).floats()[0] == 1)
      return
    }
    let error = try #require(throws: CheckpointError.self) { try scope.weight("a.weight", shape: [4, 8]) }
    #expect("\(error)".hasPrefix("unsupported quantization") && "\(error)".contains(name))
    #expect("\(error)".contains("each block of [4, 8]") && "\(error)".contains("docs/checkpoints.md"))
    #expect(!"\(error)".contains("malformed"))
  }

  @Test(
    arguments: [
      ("bitsandbytes", ["weight", "weight.absmax", "weight.quant_state.bitsandbytes__nf4"]),
      ("bitsandbytes", ["weight", "SCB"]), ("quanto", ["weight._data", "weight._scale"]),
      ("GPTQ or AWQ", ["qweight", "qzeros", "scales"]), ("nunchaku", ["qweight", "smooth_factor", "wscales"]),
      ("NVFP4", ["weight", "weight_scale", "weight_scale_2"]), ("MXFP4", ["weight_blocks", "weight_scales"]),
      ("torchao", ["weight:qdata", "weight:scale"]), ("HQQ", ["W_q", "meta"]),
    ] as [(String, [String])])
  func `weights that other tools have quantized are named`(format: String, names: [String]) throws {
    let error = try #require(throws: CheckpointError.self) {
      try write(names.map { ("double_blocks.0.img_mod.linear.\($0)", Tensor(uninitialized: [4], .uint8)) })
    }
    #expect("\(error)".contains(format) && "\(error)".contains("double_blocks.0.img_mod.linear."))
    #expect("\(error)".contains("use bf16") && !"\(error)".contains("malformed"))
  }

  @Test func `factors of a wrapped network belong to its weights`() throws {
    let checkpoint = try write([
      ("module.a._orig_mod.weight", eightBit), ("module.a._orig_mod.scale_weight", Tensor([2] as [Float], shape: [1])),
    ])
    #expect(checkpoint.tensors.map(\.name) == ["a.weight"])
    let weight = try WeightScope(checkpoint).weight("a.weight", shape: [2, 2])
    let ids = Tensor([0, 1] as [Int32], shape: [2])
    #expect(try ReferenceBackend().embedding(ids, table: weight).floats() == [2, 4, -6, 896])
  }

  @Test func `factors without a weight, of a plain weight or not finite are refused`() throws {
    let one = Tensor([1] as [Float], shape: [1])
    #expect(throws: CheckpointError.self) { try write([("a.weight", eightBit), ("b.scale_weight", one)]) }
    let plain = try write([("a.weight", Tensor(repeating: 1, shape: [2, 2])), ("a.scale_weight", one)])
    #expect(throws: CheckpointError.self) { try WeightScope(plain).weight("a.weight", shape: [2, 2]) }
    let infinite = try write([("a.weight", eightBit), ("a.scale_weight", Tensor([.infinity] as [Float], shape: [1]))])
    #expect(throws: CheckpointError.self) { try WeightScope(infinite).weight("a.weight", shape: [2, 2]) }
  }
}
