import Checkpoints
import TensorCore
import TensorTesting
import Testing

/// Mutations of valid files, the same in every run: each is read or refused, never worse.
struct ReaderFuzzTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Touches everything that a network could.
  private func readAll(_ path: String) -> Bool {
    do {
      let checkpoint = try Checkpoint(path: path)
      let scope = WeightScope(checkpoint)
      for tensor in checkpoint.tensors where tensor.shape.count < 1 << 16 {
        _ = tensor.tensor.floats()
        _ = try? scope.weight(tensor.name, shape: tensor.shape)
        _ = try? tensor.separatingHalves(heads: 2).tensor.floats()
      }
      return true
    } catch {
      let message = "\(error)"
      #expect(!message.contains("\n") && message.utf8.count < 4000)
      return false
    }
  }

  private static let files = [
    "pytorch/module_and_ema.pt", "pytorch/bare_protocol_4.pt", "pytorch/deflated.pt", "float8/model_fp8.pt",
    "gguf/types.gguf", "float8/scaled_fp8.safetensors",
  ]

  @Test(arguments: files) func `no truncation of a file is read`(name: String) throws {
    let bytes = try Fixture.bytes(Goldens.path("formats/\(name)"))
    let path = try folder.write(bytes, "model")
    #expect(readAll(path))
    // Every length near the ends, a sample between.
    let counts = (0..<bytes.count).reversed().filter { $0 < 300 || $0 > bytes.count - 300 || $0 % 37 == 0 }
    for count in counts {
      try folder.resize(path, to: count)
      #expect(!readAll(path), "\(count) of \(bytes.count) bytes were accepted")
    }
  }

  @Test(arguments: files, 0..<4 as Range<UInt64>)
  func `mutated files are read or refused, never worse`(name: String, seed: UInt64) throws {
    let original = try Fixture.bytes(Goldens.path("formats/\(name)"))
    var random = SplitMix(state: seed)
    var refused = 0
    for _ in 0..<150 {
      var bytes = original
      for _ in 0...random.next(below: 3) {
        let position = self.position(in: bytes, &random)
        switch random.next(below: 6) {
        case 0: bytes[position] ^= 1 << UInt8(random.next(below: 8))
        case 1: bytes[position] = UInt8(random.next(below: 256))
        case 2: bytes[position] = [0, 0x7F, 0x80, 0xFF][random.next(below: 4)]
        case 3: bytes.remove(at: position)
        case 4: bytes.insert(UInt8(random.next(below: 256)), at: position)
        default:
          let end = min(position + 8, bytes.count)
          for index in position..<end { bytes[index] = index == end - 1 ? 0x7F : 0xFF }
        }
      }
      if !readAll(try folder.write(bytes, "model")) { refused += 1 }
    }
    #expect(refused > 15)
  }

  /// Pickles whose checksum is right again after the change: the machine itself must stand all of them.
  @Test(arguments: ["pytorch/module_and_ema.pt", "pytorch/bare_protocol_4.pt"], 0..<4 as Range<UInt64>)
  func `mutated pickles are read or refused, never worse`(name: String, seed: UInt64) throws {
    let file = try Fixture.bytes(Goldens.path("formats/\(name)"))
    // The pickle is the first entry; it begins with its protocol and ends before the next header.
    let start = try #require(file.firstRange(of: [0x80, name.contains("4") ? 4 : 2])).lowerBound
    let end = try #require(file[start...].firstRange(of: [0x2E, 0x50, 0x4B])).lowerBound + 1
    let original = Array(file[start..<end])
    var random = SplitMix(state: seed)
    var refused = 0
    for _ in 0..<300 {
      var bytes = original
      for _ in 0...random.next(below: 2) {
        let position = random.next(below: bytes.count)
        switch random.next(below: 4) {
        case 0: bytes[position] ^= 1 << UInt8(random.next(below: 8))
        case 1: bytes[position] = UInt8(random.next(below: 256))
        case 2: bytes.remove(at: position)
        default: bytes.insert(contentsOf: bytes[position..<min(position + 20, bytes.count)], at: position)
        }
      }
      let storages = (0..<40).map { _ in [UInt8](repeating: 1, count: 384) }
      if !readAll(try folder.write(ZipWriter(pickle: bytes, storages: storages).bytes(), "model")) { refused += 1 }
    }
    #expect(refused > 200)
  }

  /// Mostly in the directories, which are at the ends.
  private func position(in bytes: [UInt8], _ random: inout SplitMix) -> Int {
    switch random.next(below: 3) {
    case 0: random.next(below: bytes.count)
    case 1: random.next(below: min(2000, bytes.count))
    default: bytes.count - 1 - random.next(below: min(2500, bytes.count))
    }
  }
}
