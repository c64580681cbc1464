import Checkpoints
import TensorCore
import Testing

/// Hand-made GGUF files, however wrong.
struct GGUFWriter {
  var version: UInt32 = 3
  var tensorCount: UInt64 = 1
  var noteCount: UInt64 = 0
  var notes = Bytes()
  var name = "w"
  var extents: [UInt64] = [2, 2]
  var type: UInt32 = 0
  var offset: UInt64 = 0
  var data = [UInt8](repeating: 0, count: 16)

  func bytes() -> [UInt8] {
    var file = Bytes(bytes: Array("GGUF".utf8))
    file.add(version, tensorCount, noteCount)
    file.bytes += notes.bytes
    file.add(UInt64(name.utf8.count))
    file.bytes += name.utf8
    file.add(UInt32(extents.count))
    for extent in extents { file.add(extent) }
    file.add(type, offset)
    file.bytes += [UInt8](repeating: 0, count: (32 - file.bytes.count % 32) % 32) + data
    return file.bytes
  }

  mutating func add(note key: String, type: UInt32, _ value: any FixedWidthInteger...) {
    noteCount += 1
    notes.add(UInt64(key.utf8.count))
    notes.bytes += key.utf8
    notes.add(type)
    for number in value { notes.add(number) }
  }
}

struct HostileGGUFTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func expectRefusal(
    _ words: String..., sourceLocation: SourceLocation = #_sourceLocation, _ change: (inout GGUFWriter) -> Void
  ) throws {
    var writer = GGUFWriter()
    change(&writer)
    let path = try folder.write(writer.bytes(), "model.gguf")
    let error = try #require(throws: CheckpointError.self, sourceLocation: sourceLocation) {
      try Checkpoint(path: path)
    }
    for word in words + [path] {
      #expect("\(error)".contains(word), "\(word): \(error)", sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: [2, 3] as [UInt32]) func `a hand-made file is read in both versions`(version: UInt32) throws {
    var writer = GGUFWriter()
    writer.version = version
    writer.extents = [4, 1]
    let checkpoint = try Checkpoint(path: try folder.write(writer.bytes(), "model.gguf"))
    #expect(try #require(checkpoint["w"]).tensor.floats() == [0, 0, 0, 0])
    #expect(checkpoint["w"]?.shape == [1, 4])
  }

  @Test func `counts that lie are refused before anything is reserved for them`() throws {
    for count in [1 << 20, 1 << 40, UInt64(Int.max)] {
      try expectRefusal("tensors", "\(count)") { $0.tensorCount = count }
      try expectRefusal("notes", "\(count)") { $0.noteCount = count }
    }
    try expectRefusal("2^63") { $0.tensorCount = .max }
  }

  @Test func `notes that lie are refused`() throws {
    try expectRefusal("list elements", "1099511627776") { $0.add(note: "n", type: 9, 4 as UInt32, 1 << 40 as UInt64) }
    try expectRefusal("type 9") { $0.add(note: "n", type: 9, 9 as UInt32, 1 as UInt64) }
    try expectRefusal("type 77") { $0.add(note: "n", type: 77) }
    try expectRefusal("a note of 1099511627776 bytes") { $0.add(note: "n", type: 8, 1 << 40 as UInt64) }
    try expectRefusal("n twice") {
      $0.add(note: "n", type: 0, 1 as UInt8)
      $0.add(note: "n", type: 0, 1 as UInt8)
    }
    for alignment in [0, 3, UInt32.max] {
      try expectRefusal("general.alignment", "power of two") {
        $0.add(note: "general.alignment", type: 4, alignment)
      }
    }
    try expectRefusal("original shape") {
      $0.add(note: "comfy.gguf.orig_shape.w", type: 9, 5 as UInt32, 2 as UInt64, 3 as UInt32, 5 as UInt32)
    }
  }

  @Test func `tensors that do not fit the data are refused`() throws {
    try expectRefusal("tensor w", "16 bytes") { $0.extents = [2, 3] }
    try expectRefusal("tensor w", "16 bytes") { $0.offset = 32 }
    try expectRefusal("multiple of 32") { $0.offset = 8 }
    try expectRefusal("2^63") { $0.offset = .max }
    try expectRefusal("63 bits") { $0.extents = [1 << 40, 1 << 40] }
    try expectRefusal("16 bytes") { $0.extents = [1 << 61, 1] }
    try expectRefusal("2^63") { $0.extents = [.max, 1] }
    try expectRefusal("at most 8 extents") { $0.extents = [UInt64](repeating: 1, count: 9) }
    try expectRefusal("whole blocks of 32") { $0.type = 8 }
    try expectRefusal("16 bytes") {
      $0.type = 8
      $0.extents = [32, 1]
    }
  }

  @Test func `types and versions that are not read are named`() throws {
    for (type, name) in [(16, "IQ2_XXS"), (21, "IQ3_S"), (34, "TQ1_0"), (39, "MXFP4")] as [(UInt32, String)] {
      try expectRefusal(name, "Q4_K_M", "docs/checkpoints.md") { $0.type = type }
    }
    try expectRefusal("type 999") { $0.type = 999 }
    try expectRefusal("version 1") { $0.version = 1 }
    try expectRefusal("version 4") { $0.version = 4 }
    try expectRefusal("big-endian") { $0.version = 3 << 24 }
  }

  @Test func `blocks in a vector are no parameter`() throws {
    var writer = GGUFWriter()
    writer.type = 8
    writer.extents = [32]
    writer.data = [UInt8](repeating: 0, count: 34)
    let checkpoint = try Checkpoint(path: try folder.write(writer.bytes(), "model.gguf"))
    #expect(throws: CheckpointError.self) { try WeightScope(checkpoint).weight("w", shape: [32]) }
  }
}
