import Checkpoints
import Foundation
import TensorCore
import Testing

struct HostilePyTorchTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func expectRefusal(_ bytes: [UInt8], _ words: [String], _ comment: String) throws {
    let path = try folder.write(bytes, "model.pt")
    let error = try #require(throws: CheckpointError.self, "\(comment)") { try Checkpoint(path: path) }
    let message = "\(error)"
    #expect(message.contains(path) && !message.contains("\n") && message.utf8.count < 1500)
    for word in words { #expect(message.contains(word), "\(comment): \(word) is not named: \(message)") }
  }

  private static let sixteen = [UInt8](repeating: 0, count: 16)

  @Test func `a hand-made archive of one tensor is read, also with numbers of 64 bits`() throws {
    for isWide in [false, true] {
      var archive = ZipWriter(pickle: Pickle.file(Pickle.dictionary(("w", Pickle.tensor()))), storages: [Self.sixteen])
      archive.isWide = isWide
      for index in archive.entries.indices { archive.entries[index].isWide = isWide }
      let checkpoint = try Checkpoint(path: try folder.write(archive.bytes(), "model.pt"))
      #expect(try #require(checkpoint["w"]).tensor.floats() == [0, 0, 0, 0])
    }
  }

  @Test(arguments: ["os", "posix", "nt", "builtins", "subprocess"])
  func `a pickle that runs a command is refused by the name of its function, and nothing runs`(module: String) throws {
    let proof = folder.path("proof")
    let pickle = Pickle.file(
      Pickle.call(Pickle.name(module, "system"), Pickle.text("touch '\(proof)'")))
    try expectRefusal(ZipWriter(pickle: pickle).bytes(), ["\(module).system", "nothing was executed"], module)
    let stacked = [0x80, 4] + Pickle.text(module) + Pickle.text("system") + [0x93] + Pickle.stop
    try expectRefusal(ZipWriter(pickle: stacked).bytes(), ["\(module).system"], "stacked \(module)")
    #expect(!FileManager.default.fileExists(atPath: proof))
  }

  @Test(arguments: [
    HostileFile("instance", Pickle.file(Array("(ios\nsystem\n".utf8)), "INST"),
    HostileFile("object", Pickle.file([0x28, 0x6F]), "OBJ"),
    HostileFile("new object of nothing", Pickle.file([0x29, 0x81]), "a value"),
    HostileFile("new object of a number", Pickle.file([0x4E, 0x29, 0x81]), "a function's name"),
    HostileFile("extension", Pickle.file([0x82, 1]), "EXT1"),
    HostileFile("text number", Pickle.file(Array("I1\n".utf8)), "INT"),
    HostileFile("buffer", Pickle.file([0x97]), "NEXT_BUFFER"),
    HostileFile("unknown", Pickle.file([0xFF]), "0xff"),
    HostileFile("protocol 6", [0x80, 6, 0x2E], "protocol 6"),
    HostileFile("other torch name", Pickle.file(Pickle.name("torch", "load")), "torch.load"),
    HostileFile("other storage", Pickle.file(Pickle.name("torch", "QInt8Storage")), "torch.QInt8Storage"),
    HostileFile("complex storage", Pickle.file(Pickle.name("torch", "ComplexFloatStorage")), "ComplexFloatStorage"),
    HostileFile("tensor subclass", Pickle.file(Pickle.name("torch._tensor", "_rebuild_from_type_v2")), "_rebuild_from"),
    HostileFile(
      "persistent text", Pickle.file(Pickle.text("../../etc/passwd"), [0x51]), "storage's description", "passwd"),
    HostileFile("call of a type", Pickle.file(Pickle.call(Pickle.name("torch", "float32"))), "float32"),
    HostileFile(
      "dictionary of items", Pickle.file(Pickle.call(Pickle.name("collections", "OrderedDict"), [0x5D])), "OrderedDict"),
    HostileFile("state for a list", Pickle.file([0x5D, 0x7D, 0x62]), "state for a list"),
    HostileFile("wide number", Pickle.file([0x8A, 9] + [UInt8](repeating: 1, count: 9)), "9 bytes"),
  ])
  func `names and instructions that weights do not need are refused by name`(file: HostileFile) throws {
    try expectRefusal(ZipWriter(pickle: file.bytes).bytes(), file.words, file.testDescription)
  }

  @Test(arguments: [
    HostileFile("empty pickle", [], "an instruction"),
    HostileFile("no stop", [0x80, 2, 0x4E], "an instruction"),
    HostileFile("nothing on the stack", [0x2E], "a value"),
    HostileFile("no mark", Pickle.file([0x74]), "a mark"),
    HostileFile("a number", Pickle.file(Pickle.number(5)), "a dictionary of tensors", "found 5"),
    HostileFile("text of 2^32 - 1", Pickle.file([0x58, 0xFF, 0xFF, 0xFF, 0xFF]), "a text of 4294967295"),
    HostileFile("text of 2^63", Pickle.file([0x8D] + [0, 0, 0, 0, 0, 0, 0, 0x80]), "2^63"),
    HostileFile("memory not set", Pickle.file([0x68, 9]), "remembered as 9"),
    HostileFile("keys without values", Pickle.file([0x7D, 0x28, 0x4E, 0x75]), "odd"),
    HostileFile("append to nothing", Pickle.file([0x4E, 0x4E, 0x61]), "a list"),
    HostileFile("name that does not end", [0x80, 2] + Array("cos".utf8), "a line"),
    HostileFile("name that is no text", [0x80, 2, 0x63, 0xFF, 0x0A, 0x0A, 0x2E], "UTF-8"),
  ])
  func `broken pickles are refused`(file: HostileFile) throws {
    try expectRefusal(ZipWriter(pickle: file.bytes).bytes(), file.words, file.testDescription)
  }

  @Test func `a pickle that nests a million deep, or holds itself, is refused without harm`() throws {
    let deep = Pickle.file([0x4E], [UInt8](repeating: 0x85, count: 1_000_000))
    try expectRefusal(ZipWriter(pickle: deep).bytes(), ["a tuple"], "tuples")
    let lists = Pickle.file([UInt8](repeating: 0x5D, count: 500_000), [UInt8](repeating: 0x61, count: 499_999))
    try expectRefusal(ZipWriter(pickle: lists).bytes(), ["a list"], "lists")
    // d = {}; d["d"] = d
    let circular = Pickle.file([0x7D, 0x71, 0], Pickle.text("d"), [0x68, 0, 0x73])
    try expectRefusal(ZipWriter(pickle: circular).bytes(), ["found d"], "circle")
  }

  @Test(
    arguments: [
      (Pickle.tensor(sizes: [2, 3]), "storage of 4"), (Pickle.tensor(offset: 1), "storage of 4"),
      (Pickle.tensor(offset: -1), "offset -1"), (Pickle.tensor(strides: [-2, 1]), "strides [-2, 1]"),
      (Pickle.tensor(sizes: [-1, 2]), "sizes [-1, 2]"),
      (Pickle.tensor(sizes: [1 << 40, 1], strides: [0, 1]), "storage of 4"),
      (Pickle.tensor(sizes: [1 << 40, 1 << 40]), "sizes"),
      (Pickle.tensor(sizes: [2, 2], strides: [Int.max, 1]), "strides"),
      (Pickle.tensor(sizes: [2], strides: [1, 1]), "sizes [2]"), (Pickle.tensor(offset: .max), "storage of 4"),
      (Pickle.tensor(Pickle.storage(count: 5)), "5 elements"),
      (Pickle.tensor(Pickle.storage(count: 3)), "storage of 3"),
      (Pickle.tensor(Pickle.storage(count: 1 << 61), sizes: [1 << 60], strides: [1]), "elements in data/0"),
      (Pickle.tensor(Pickle.storage(count: -1)), "persistent identifier"),
      (Pickle.tensor(Pickle.storage("1")), "data/1"),
      (Pickle.tensor(Pickle.storage("../data.pkl")), "data/../data.pkl"),
      (Pickle.tensor(Pickle.storage(type: Pickle.name("torch", "UntypedStorage"), count: 16)), "a storage with a type"),
      (Pickle.tensor(Pickle.number(1)), "a tensor's storage"),
      (Pickle.call(Pickle.name("torch._utils", "_rebuild_parameter"), Pickle.number(1)), "a parameter's tensor"),
    ] as [([UInt8], String)])
  func `tensors that do not fit their storage are refused`(tensor: [UInt8], word: String) throws {
    let archive = ZipWriter(pickle: Pickle.file(Pickle.dictionary(("w", tensor))), storages: [Self.sixteen])
    try expectRefusal(archive.bytes(), [word], word)
  }

  @Test func `extents of one with any stride, and tensors without elements, are read`() throws {
    let pickle = Pickle.file(
      Pickle.dictionary(
        ("one", Pickle.tensor(sizes: [1, 4], strides: [Int.max, 1])),
        ("none", Pickle.tensor(offset: .max, sizes: [0, 4], strides: [Int.max, Int.max]))))
    let checkpoint = try Checkpoint(
      path: try folder.write(ZipWriter(pickle: pickle, storages: [Self.sixteen]).bytes(), "model.pt"))
    #expect(try #require(checkpoint["one"]).tensor.floats() == [0, 0, 0, 0])
    #expect(try #require(checkpoint["none"]).tensor.floats() == [])
  }
}
