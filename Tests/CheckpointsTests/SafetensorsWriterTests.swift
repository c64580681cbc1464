import Checkpoints
import TensorCore
import TensorTesting
import Testing

struct SafetensorsWriterTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func `what was written is read back`() throws {
    let path = folder.path("latents.safetensors")
    let values = (0..<24).map { Float($0) / 7 - 1 }
    let metadata = ["prompt": "A \"red\" ball\n\u{1} 红球 \\", "seed": "42"]
    try SafetensorsWriter.write(
      [("latents", Tensor(values, shape: [1, 2, 3, 4])), ("ids", Tensor([1, -2] as [Int32], shape: [2]))],
      metadata: metadata, to: path)
    let file = try SafetensorsFile(path: path)
    #expect(file.metadata == metadata)
    #expect(try #require(file["latents"]).tensor.floats() == values)
    #expect(try #require(file["latents"]).shape == [1, 2, 3, 4])
    #expect(try #require(file["ids"]).tensor.integers() == [1, -2])
    #expect(folder.names == ["latents.safetensors"])
  }

  @Test(arguments: DType.allCases) func `every type is written aligned after an odd one`(dtype: DType) throws {
    let path = folder.path("x.safetensors")
    let odd = Tensor(uninitialized: [3], .uint8)
    let wide = Tensor(uninitialized: [2, 2], dtype)
    for index in 0..<wide.byteCount {
      wide.mutableHostPointer.storeBytes(of: UInt8(index), toByteOffset: index, as: UInt8.self)
    }
    try SafetensorsWriter.write([("odd", odd), ("wide", wide)], to: path)
    let read = try #require(SafetensorsFile(path: path)["wide"])
    #expect(read.dtype == dtype && read.tensor.storage is MappedFile)
    #expect(read.tensor.floats().map(\.bitPattern) == wide.floats().map(\.bitPattern))
  }

  @Test func `tensors are written one by one in any order`() throws {
    let path = folder.path("steps.safetensors")
    let steps = (0..<5).map { "step_00\($0)" }
    let writer = try SafetensorsWriter(
      path: path, entries: steps.map { .init(name: $0, dtype: .float32, shape: [1000]) }, metadata: [:])
    for (index, name) in steps.enumerated().reversed() {
      try writer.write(name, Tensor(repeating: Float(index), shape: [1000]))
      #expect(!folder.names.contains("steps.safetensors"))
    }
    try writer.finish()
    let file = try SafetensorsFile(path: path)
    for (index, name) in steps.enumerated() {
      #expect(try #require(file[name]).tensor.floats() == [Float](repeating: Float(index), count: 1000))
    }
  }

  @Test func `a writer that does not finish leaves the old file and nothing else`() throws {
    let path = try folder.write("old", "x.safetensors")
    do {
      let writer = try SafetensorsWriter(path: path, entries: [.init(name: "x", dtype: .float32, shape: [2])])
      try writer.write("x", Tensor([1, 2] as [Float], shape: [2]))
      #expect(folder.names.count == 2)
    }
    #expect(folder.names == ["x.safetensors"])
    #expect(try Fixture.bytes(path) == Array("old".utf8))
  }

  @Test func `a folder that does not exist is named`() throws {
    let path = folder.path("absent/x.safetensors")
    let error = try #require(throws: CheckpointError.self) { try SafetensorsWriter.write([], to: path) }
    #expect(error == .unwritable(file: path, reason: "No such file or directory"))
  }

  @Test func `a checkpoint of random weights is the same for the same seed`() throws {
    for name in ["a", "b"] {
      try RandomCheckpoint(["fc.weight": [8, 4], "norm.weight": [8], "fc.bias": [8]], dtype: .bfloat16, seed: 3)
        .write(to: folder.path(name))
    }
    #expect(try Fixture.bytes(folder.path("a")) == Fixture.bytes(folder.path("b")))
    let weights = try #require(SafetensorsFile(path: folder.path("a"))["fc.weight"]).tensor.floats()
    #expect(Set(weights).count > 16 && weights.allSatisfy { abs($0) <= 0.8661 })
  }
}
