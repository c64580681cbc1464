import Checkpoints
import TensorCore
import Testing

/// A file that must be refused, and words that the refusal must contain.
struct HostileFile: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let bytes: [UInt8]
  let words: [String]

  init(_ description: String, _ bytes: [UInt8], _ words: String...) {
    testDescription = description
    self.bytes = bytes
    self.words = words
  }

  init(_ description: String, header: String, data: Int = 0, _ words: String...) {
    testDescription = description
    bytes = Safetensors.file(header: header, dataByteCount: data)
    self.words = words
  }

  init(_ description: String, entries: String..., data: Int, words: [String]) {
    testDescription = description
    bytes = Safetensors.file(header: "{\(entries.joined(separator: ","))}", dataByteCount: data)
    self.words = words
  }
}

private let a = Safetensors.entry("a", "F32", "[2]", 0, 8)

struct HostileSafetensorsTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func expectRefusal(_ file: HostileFile) throws {
    let path = try folder.write(file.bytes)
    let error = try #require(throws: CheckpointError.self) { try SafetensorsFile(path: path) }
    let message = "\(error)"
    #expect(message.contains(path), "the file is not named: \(message)")
    #expect(!message.contains("\n") && message.utf8.count < 1500)
    for word in file.words { #expect(message.contains(word), "\(word) is not named: \(message)") }
  }

  @Test(arguments: [
    HostileFile("empty", [], "an empty file", "download"),
    HostileFile("seven bytes", [1, 2, 3, 4, 5, 6, 7], "found 7"),
    HostileFile("no header", Safetensors.file(length: 0, []), "'{'"),
    HostileFile(
      "header longer than the file", Safetensors.file(length: 3, Array("{}".utf8)), "header length", "found 3"),
    HostileFile("header of 2^63", Safetensors.file(length: 1 << 63, Array("{}".utf8)), "9223372036854775808"),
    HostileFile("header of 2^64 - 1", Safetensors.file(length: .max, Array("{}".utf8)), "at most 100000000"),
    HostileFile("header of 2^40", Safetensors.file(length: 1 << 40, Array("{}".utf8)), "1099511627776"),
    HostileFile("Git LFS pointer", Array("version https://git-lfs.github.com/spec/v1\n".utf8), "git lfs pull"),
    HostileFile("PyTorch archive", [0x50, 0x4B, 3, 4, 0, 0, 0, 0, 0, 0], "PyTorch"),
    HostileFile("GGUF", Array("GGUF\u{3}\0\0\0\0\0".utf8), "GGUF"),
    HostileFile("web page", Array("<!DOCTYPE html><html>".utf8), "web page"),
  ])
  func `a file that is none is refused`(file: HostileFile) throws { try expectRefusal(file) }

  @Test(arguments: [
    HostileFile("array", header: "[]", "'{'"),
    HostileFile("leading space", header: " {}", "'{'"),
    HostileFile("not closed", header: "{\"a\"", "the end"),
    HostileFile("trailing text", header: "{}x", "byte 2", "'x'"),
    HostileFile("invalid UTF-8", Safetensors.file(length: 7, [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D]), "UTF-8"),
    HostileFile("nested 100,000 deep", header: "{\"a\":{\"b\":" + String(repeating: "[", count: 100_000), "64 nested"),
    HostileFile("nested objects", header: String(repeating: "{\"a\":", count: 1000), "expected"),
    HostileFile("a number with 1000 digits", header: "{\"a\":{\"b\":\(String(repeating: "1", count: 1000))}}", "400"),
  ])
  func `a header that is not strict JSON is refused`(file: HostileFile) throws { try expectRefusal(file) }

  @Test(arguments: [
    HostileFile("tensor is a number", header: "{\"a\":1}", "tensor a", "an object"),
    HostileFile("metadata is a list", header: "{\"__metadata__\":[]}", "metadata"),
    HostileFile("metadata of numbers", header: "{\"__metadata__\":{\"n\":1}}", "metadata n"),
    HostileFile("metadata twice", header: "{\"__metadata__\":{\"n\":\"\",\"n\":\"\"}}", "n twice"),
    HostileFile("no dtype", header: #"{"a":{"shape":[],"data_offsets":[0,4]}}"#, data: 4, "tensor a", "dtype"),
    HostileFile("no shape", header: #"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, data: 4, "shape"),
    HostileFile("no offsets", header: #"{"a":{"dtype":"F32","shape":[]}}"#, data: 4, "data_offsets"),
    HostileFile("one offset", header: #"{"a":{"dtype":"F32","shape":[],"data_offsets":[0]}}"#, data: 4, "found 1"),
    HostileFile(
      "three offsets", header: #"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,4]}}"#, data: 4, "at most 2"),
    HostileFile("dtype twice", header: #"{"a":{"dtype":"F32","dtype":"F32"}}"#, "one dtype of a"),
    HostileFile("dtype is a number", header: #"{"a":{"dtype":32}}"#, "dtype of a"),
    HostileFile(
      "unknown dtype", entries: Safetensors.entry("w.x", "F33", "[1]", 0, 4), data: 4, words: ["w.x", "F33"]),
    HostileFile(
      "unsigned dtype", entries: Safetensors.entry("w.x", "U16", "[2]", 0, 4), data: 4, words: ["w.x", "U16"]),
    HostileFile("negative size", entries: Safetensors.entry("a", "F32", "[-2]", 0, 8), data: 8, words: ["shape of a"]),
    HostileFile(
      "fraction", entries: Safetensors.entry("a", "F32", "[2.0]", 0, 8), data: 8, words: ["shape of a", "2.0"]),
    HostileFile("exponent", entries: Safetensors.entry("a", "F32", "[2e0]", 0, 8), data: 8, words: ["shape of a"]),
    HostileFile(
      "size as text", entries: Safetensors.entry("a", "F32", "[\"2\"]", 0, 8), data: 8, words: ["shape of a"]),
    HostileFile(
      "size of 2^63", entries: Safetensors.entry("a", "F32", "[9223372036854775808]", 0, 8), data: 8,
      words: ["9223372036854775808"]),
    HostileFile(
      "product overflows", entries: Safetensors.entry("a", "F32", "[4294967296,4294967296]", 0, 8), data: 8,
      words: ["tensor a", "63 bits"]),
    HostileFile(
      "bytes overflow", entries: Safetensors.entry("a", "F32", "[4611686018427387904]", 0, 8), data: 8,
      words: ["tensor a", "2^63 bytes"]),
    HostileFile(
      "33 dimensions",
      entries: Safetensors.entry("a", "F32", "[\(Array(repeating: "1", count: 33).joined(separator: ","))]", 0, 4),
      data: 4, words: ["at most 32"]),
  ])
  func `a header with wrong fields is refused`(file: HostileFile) throws { try expectRefusal(file) }

  @Test(arguments: [
    HostileFile(
      "end before begin", entries: Safetensors.entry("a", "F32", "[2]", 8, 0), data: 8, words: ["tensor a", "end 0"]),
    HostileFile(
      "end outside", entries: Safetensors.entry("a", "F32", "[2]", 0, 8), data: 7, words: ["tensor a", "7 bytes"]),
    HostileFile(
      "end near 2^63", entries: Safetensors.entry("a", "U8", "[9223372036854775807]", 0, Int.max), data: 8,
      words: ["tensor a", "within the 8 bytes"]),
    HostileFile(
      "too few bytes", entries: Safetensors.entry("a", "F32", "[3]", 0, 8), data: 8, words: ["12 bytes", "found 8"]),
    HostileFile(
      "too many bytes", entries: Safetensors.entry("a", "F32", "[1]", 0, 8), data: 8, words: ["4 bytes", "found 8"]),
    HostileFile(
      "overlap", entries: a, Safetensors.entry("b", "F32", "[2]", 4, 12), data: 12,
      words: ["tensor b", "4 bytes shared"]),
    HostileFile(
      "same bytes", entries: a, Safetensors.entry("b", "F32", "[2]", 0, 8), data: 8, words: ["tensor b", "shared"]),
    HostileFile(
      "hole", entries: a, Safetensors.entry("b", "F32", "[2]", 9, 17), data: 17, words: ["tensor b", "gap of 1"]),
    HostileFile(
      "hole at the start", entries: Safetensors.entry("a", "F32", "[2]", 4, 12), data: 12,
      words: ["the header", "gap of 4"]),
    HostileFile("bytes after the last tensor", entries: a, data: 9, words: ["found 1 bytes"]),
    HostileFile("name twice", entries: a, Safetensors.entry("a", "F32", "[2]", 8, 16), data: 16, words: ["a twice"]),
    HostileFile(
      "name twice, escaped", entries: a, Safetensors.entry(#"\u0061"#, "F32", "[2]", 8, 16), data: 16,
      words: ["a twice"]),
  ])
  func `a header that lies about the data is refused`(file: HostileFile) throws { try expectRefusal(file) }

  @Test func `a message escapes control characters and cuts long names`() throws {
    let name = #"\n\u001b[31m"# + String(repeating: "x", count: 100_000)
    try expectRefusal(
      HostileFile(
        "long name", entries: Safetensors.entry(name, "U16", "[1]", 0, 2), data: 2, words: [#"\u{a}\u{1b}[31mxxx"#]))
  }

  @Test func `a header of 200,000 tensors is read quickly`() throws {
    let entries = (0..<200_000).map { Safetensors.entry("t\($0)", "F32", "[0]", 0, 0) }
    let path = try folder.write(header: "{\(entries.joined(separator: ","))}")
    var count = 0
    let duration = try ContinuousClock().measure { count = try SafetensorsFile(path: path).tensors.count }
    #expect(count == 200_000)
    #expect(duration < .seconds(10))
  }

  @Test func `more metadata than any writer leaves are refused`() throws {
    let pairs = (0..<70_000).map { "\"\($0)\":\"\"" }
    try expectRefusal(
      HostileFile("metadata", header: "{\"__metadata__\":{\(pairs.joined(separator: ","))}}", "at most 65536"))
  }

  @Test(arguments: ["absent.safetensors", ""]) func `a path that is no file is refused`(name: String) {
    #expect(throws: CheckpointError.self) { try SafetensorsFile(path: folder.path(name)) }
  }
}
