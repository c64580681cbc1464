import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// Each reader of weights and configurations against wrong files: read or refused with one line, never worse. A long run
/// is asked for in the environment (`Fuzz`).
@Suite(.serialized) struct FuzzTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder(inMemory: true) }

  /// Touches everything that a network could.
  private func readAll(_ bytes: [UInt8]) throws -> Bool {
    let path = try folder.write(bytes, "model")
    do {
      let checkpoint = try Checkpoint(path: path)
      let scope = WeightScope(checkpoint)
      for tensor in checkpoint.tensors where tensor.shape.count < 1 << 14 {
        _ = tensor.tensor.floats()
        _ = try? scope.weight(tensor.name, shape: tensor.shape).numbers(
          ofRows: 0..<min(tensor.shape.dimensions.first ?? 0, 2))
        _ = try? tensor.separatingHalves(heads: 2).tensor.floats()
        let (rows, count) = (tensor.shape.dimensions.first ?? 1, tensor.shape.count)
        for shape in [[count / 4, 1, 1, 2, 2], [rows, max(count / max(4 &* rows, 1), 0), 1, 2, 2]] where count > 0 {
          _ = try? scope.rowParts(tensor.name, shape: Shape(shape)).map { $0.tensor.floats() }
        }
      }
      _ = try? scope.finish()
      return true
    } catch {
      let message = "\(error)"
      #expect(!message.contains("\n") && message.utf8.count < 4000)
      return false
    }
  }

  private func golden(_ name: String) throws -> [UInt8] { try Fixture.bytes(Goldens.path(name)) }

  @Test func `wrong safetensors files are read or refused, never worse`() throws {
    let entries = [
      Safetensors.entry("module._orig_mod.a.weight", "F8_E4M3", "[4,8]", 0, 32),
      Safetensors.entry("module._orig_mod.a.scale_weight", "F32", "[4,2,1]", 32, 64),
      Safetensors.entry("img_in.proj.weight", "F16", "[8,1,2,2]", 64, 128),
      Safetensors.entry("ema.x", "I64", "[]", 128, 136), Safetensors.entry("none", "BF16", "[0,4]", 136, 136),
    ]
    let header = "{\(entries.joined(separator: ",")),\"__metadata__\":{\"a\":\"\\u00e9\"}}"
    let likeZip = header + String(repeating: " ", count: 0x4B50 - header.utf8.count)
    let small = Safetensors.file(header: header, dataByteCount: 136)
    var mutator = Mutator(
      [
        small, small, small, try golden("formats/float8/scaled_fp8.safetensors"),
        try golden("formats/float8/fp8_scale.safetensors"), Safetensors.file(header: likeZip, dataByteCount: 136),
      ],
      words: [
        "9223372036854775807", "-1", "[", "]", "{", "}", "\"", "0", "18446744073709551616", "\\u", ",", "1e9", "NaN",
        "module.", "_orig_mod.", ".weight_scale_inv", ".qweight", ".absmax", "F64", "U8", "PK\u{3}\u{4}", "\u{FEFF}",
      ], seed: Fuzz.seed)
    try Fuzz.run("safetensors") { try readAll(mutator.next()) }
  }

  /// Archives as they are, and pickles in archives without checksums: the machine itself must stand all of them.
  @Test func `wrong PyTorch files are read or refused, never worse`() throws {
    var archives = Mutator(
      try ["bare_protocol_4", "deflated", "wide", "module_and_ema"].map { try golden("formats/pytorch/\($0).pt") }
        + [golden("formats/float8/model_fp8.pt"), archive(pickles[0])], seed: Fuzz.seed)
    var pickles = Mutator(pickles, words: Self.pickleWords, seed: Fuzz.seed &+ 1)
    var index = 0
    try Fuzz.run("PyTorch") {
      index += 1
      return try readAll(index % 3 == 0 ? archives.next() : archive(pickles.next()))
    }
  }

  private static let pickleWords = [
    "cos\nsystem\n", "ctorch\ndevice\n", "cargparse\nNamespace\n", "ccollections\nOrderedDict\n", "\u{29}R", "b", "u",
    "s", "(",
    "t", "e", "a", "Q", "R", "0", "1", "2", "}", "]", "K\u{1}", "ctorch._utils\n_rebuild_tensor_v2\n",
    "ctorch\nQInt8Storage\n",
  ]

  private var pickles: [[UInt8]] {
    let values = OpaqueValueTests.values.map { Pickle.text($0.testDescription) + $0.bytes }
    let weights = Pickle.dictionary(
      ("module.w", Pickle.tensor()), ("_orig_mod.v", Pickle.tensor(sizes: [4], strides: [1])))
    let all = [0x7D, 0x28] + Pickle.text("module") + weights + values.flatMap { $0 } + [0x75]
    return [Pickle.file(all)]
      + values.map { Pickle.file([0x7D, 0x71, 1, 0x28], $0, Pickle.text("w"), Pickle.tensor(), [0x75, 0x68, 1]) }
  }

  private func archive(_ pickle: [UInt8]) -> [UInt8] {
    var archive = ZipWriter(
      pickle: pickle, storages: [[UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 16)])
    for index in archive.entries.indices { archive.entries[index].claimedChecksum = 0 }
    return archive.bytes()
  }

  @Test func `wrong GGUF files are read or refused, never worse`() throws {
    var joined = GGUFWriter()
    joined.add(
      note: "comfy.gguf.orig_shape.w", type: 9, 5 as UInt32, 5 as UInt64, 2 as UInt32, 8 as UInt32, 1 as UInt32,
      2 as UInt32,
      2 as UInt32)
    (joined.type, joined.extents, joined.data) = (8, [32, 2], [UInt8](repeating: 3, count: 68))
    var blocks = GGUFWriter()
    (blocks.type, blocks.extents, blocks.data) = (11, [256, 2], [UInt8](repeating: 0x35, count: 220))
    var mutator = Mutator(
      [
        try golden("formats/gguf/types.gguf"), try golden("small_blocks/types.gguf"), joined.bytes(), blocks.bytes(),
        GGUFWriter().bytes(), joined.bytes(), blocks.bytes(),
      ], words: ["comfy.gguf.orig_shape.w", "general.alignment", "\0\0\0\0", "\u{1}\0\0\0\0\0\0\0"], seed: Fuzz.seed)
    try Fuzz.run("GGUF") { try readAll(mutator.next()) }
  }

  @Test func `wrong configurations are read or refused, never worse`() throws {
    let text = #"""
      {"_class_name": "X", "hidden_size": 4096, "rope_dim_list": [16, 56, 56], "eps": 1e-6, "dropout": NaN, "bias": true,
       "text_config": {"num_attention_heads": 32.0, "rope_scaling": null, "list": ["a", "\u00e9\ud83d\ude00"]}, "big": Infinity}
      """#
    let original = Array(text.utf8)
    var mutator = Mutator(
      [original, [0xEF, 0xBB, 0xBF] + original, Array(text.replacing("\n", with: "\r\n").utf8)],
      words: [
        "NaN", "-Infinity", "Infinity", "null", "{", "}", "[", "]", ",", ":", "\"", "\\u", "\u{FEFF}", "1e999", "-0",
        "99999999999999999999",
      ], seed: Fuzz.seed)
    try Fuzz.run("configuration") {
      do {
        let bytes = mutator.next()
        let reader = try ConfigurationReader(JSONValue(bytes: bytes, file: "config.json"), file: "config.json")
        for reader in [reader, (try? reader.object("text_config")) ?? reader] {
          for key in reader.keys {
            _ = try? reader.positiveInt(key)
            _ = try? reader.positiveInts(key)
            _ = try? reader.positiveDouble(key)
            _ = try? reader.strings(key)
            do { _ = try reader.bool(key) } catch { #expect(!"\(error)".contains("\n")) }
          }
        }
        return true
      } catch {
        #expect(!"\(error)".contains("\n") && "\(error)".utf8.count < 4000)
        return false
      }
    }
  }
}
