import Checkpoints
import TensorCore
import Testing

struct SafetensorsFileTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func `tensors are views of the mapped file in the order of their data`() throws {
    let header =
      "{" + Safetensors.entry("late", "U8", "[2]", 8, 10) + "," + Safetensors.entry("early", "I32", "[2,1]", 0, 8) + "}"
    let file = try SafetensorsFile(
      path: folder.write(header: header + String(repeating: " ", count: -header.utf8.count & 7), dataByteCount: 10))
    #expect(file.tensors.map(\.name) == ["early", "late"])
    let early = try #require(file["early"]).tensor
    #expect(early.shape == [2, 1] && early.dtype == .int32)
    #expect(early.integers() == [0x0302_0100, 0x0706_0504])
    #expect(early.storage is MappedFile)
    #expect(try #require(file["late"]).tensor.integers() == [8, 9])
    #expect(file["absent"] == nil)
  }

  @Test func `a misaligned tensor is copied to an aligned address`() throws {
    var header =
      "{" + Safetensors.entry("a", "U8", "[1]", 0, 1) + "," + Safetensors.entry("b", "F32", "[2]", 1, 9) + "}"
    header += String(repeating: " ", count: -header.utf8.count & 7)
    let tensor = try #require(SafetensorsFile(path: folder.write(header: header, dataByteCount: 9))["b"]).tensor
    #expect(!(tensor.storage is MappedFile))
    #expect(UInt(bitPattern: tensor.hostPointer) % 4 == 0)
    #expect(tensor.floats() == [Float(bitPattern: 0x0403_0201), Float(bitPattern: 0x0807_0605)])
  }

  @Test(arguments: [
    ("F64", DType.float64), ("F32", .float32), ("F16", .float16), ("BF16", .bfloat16), ("F8_E4M3", .float8E4M3),
    ("F8_E5M2", .float8E5M2), ("I64", .int64), ("I32", .int32), ("I16", .int16), ("I8", .int8), ("U8", .uint8),
    ("BOOL", .bool),
  ])
  func `every type of the format that has one here is read`(name: String, dtype: DType) throws {
    let size = 3 * dtype.byteCount
    let path = try folder.write(header: "{\(Safetensors.entry("x", name, "[3]", 0, size))}", dataByteCount: size)
    let tensor = try #require(SafetensorsFile(path: path)["x"])
    #expect(tensor.dtype == dtype && tensor.shape == [3] && tensor.byteCount == size)
    #expect(tensor.tensor.floats().count == 3)
  }

  @Test func `scalars and empty tensors are read`() throws {
    let header =
      "{"
      + [
        Safetensors.entry("empty", "F32", "[0,7]", 0, 0), Safetensors.entry("scalar", "F32", "[]", 0, 4),
        Safetensors.entry("end", "F32", "[0]", 4, 4),
      ].joined(separator: ",") + "}"
    let file = try SafetensorsFile(path: folder.write(header: header, dataByteCount: 4))
    #expect(try #require(file["scalar"]).tensor.floats() == [Float(bitPattern: 0x0302_0100)])
    #expect(try #require(file["empty"]).tensor.floats() == [])
    #expect(try #require(file["end"]).shape == [0])
  }

  @Test func `metadata and escaped names are decoded`() throws {
    let header =
      #"{"__metadata__":{"note":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é😀"},"#
      + Safetensors.entry(#"a\u002eb"#, "U8", "[1]", 0, 1) + "}  \n"
    let file = try SafetensorsFile(path: folder.write(header: header, dataByteCount: 1))
    #expect(file.metadata == ["note": "a\"\\/\u{8}\u{C}\n\r\té😀 é😀"])
    #expect(file["a.b"] != nil)
  }

  @Test func `members that the format does not know are passed over`() throws {
    let header = #"{"x":{"extra":{"deep":[1,-2.5e3,true,null,"s"]},"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    #expect(try SafetensorsFile(path: folder.write(header: header, dataByteCount: 1)).tensors.count == 1)
  }

  @Test func `a file without tensors is read`() throws {
    #expect(try SafetensorsFile(path: folder.write(header: "{}")).tensors.isEmpty)
  }

  @Test func `a 25 GB file opens at once`() throws {
    let rows = 4_100_000
    let size = rows * 3072 * 2
    var header = "{\(Safetensors.entry("w", "BF16", "[\(rows),3072]", 0, size))}"
    header += String(repeating: " ", count: -header.utf8.count & 7)
    let path = try folder.write(header: header)
    try folder.resize(path, to: 8 + header.utf8.count + size)
    let clock = ContinuousClock()
    var last: [Float] = []
    let duration = try clock.measure {
      let tensor = try #require(SafetensorsFile(path: path)["w"]).tensor
      last = tensor.slice(0, rows - 1..<rows).floats()
    }
    #expect(last == [Float](repeating: 0, count: 3072))
    #expect(duration < .seconds(5))
  }
}
