import Checkpoints
import TensorCore
import TensorTesting
import Testing

struct SafetensorsFuzzTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A valid file with several types, an empty tensor and metadata.
  private func valid() throws -> [UInt8] {
    let path = folder.path("valid.safetensors")
    let bytes = Tensor(uninitialized: [3], .uint8)
    bytes.mutableHostPointer.storeBytes(of: 7, as: UInt8.self)
    (bytes.mutableHostPointer + 1).storeBytes(of: 0x0908, as: UInt16.self)
    try SafetensorsWriter.write(
      [
        ("blocks.0.weight", Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])),
        ("blocks.0.bias", Tensor([-1, 1] as [Float], shape: [2])),
        ("ids", Tensor([5, 6, 7] as [Int32], shape: [1, 3])),
        ("mask", bytes), ("none", Tensor([] as [Float], shape: [0, 4])),
      ],
      metadata: ["format": "pt", "note": "\"é\"\n"], to: path)
    return try Fixture.bytes(path)
  }

  /// Touches everything that a reader of the file could.
  private func readAll(_ path: String) -> Bool {
    do {
      var sum: Float = 0
      for tensor in try SafetensorsFile(path: path).tensors where tensor.shape.count < 1 << 16 {
        sum += tensor.tensor.floats().reduce(0, +)
      }
      return sum == sum || sum.isNaN
    } catch {
      #expect(!"\(error)".contains("\n"))
      return false
    }
  }

  @Test func `no truncation of a file is read`() throws {
    let bytes = try valid()
    #expect(readAll(try folder.write(bytes)))
    let path = try folder.write(bytes)
    for count in (0..<bytes.count).reversed() {
      try folder.resize(path, to: count)
      #expect(!readAll(path), "\(count) of \(bytes.count) bytes were accepted")
    }
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func `mutated files are read or refused, never worse`(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let original = try valid()
    let headerEnd = 8 + Int(original[0]) + Int(original[1]) << 8
    let tokens = [
      "9223372036854775807", "-1", "[", "]", "{", "}", "\"", "0", "18446744073709551616", "\\u", ",", "1e9",
    ]
    var refused = 0
    for _ in 0..<100 {
      var bytes = original
      for _ in 0...random.next(below: 3) {
        // Mostly the header: changes to the data are always accepted.
        let position = random.next(below: random.next(below: 8) == 0 ? bytes.count : min(headerEnd, bytes.count))
        switch random.next(below: 5) {
        case 0: bytes[position] ^= 1 << UInt8(random.next(below: 8))
        case 1: bytes[position] = UInt8(random.next(below: 256))
        case 2: bytes.remove(at: position)
        case 3: bytes.insert(contentsOf: tokens[random.next(below: tokens.count)].utf8, at: position)
        default: bytes.removeLast(random.next(below: bytes.count / 2))
        }
      }
      if !readAll(try folder.write(bytes)) { refused += 1 }
    }
    #expect(refused > 50)
  }
}
