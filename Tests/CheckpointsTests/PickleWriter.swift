/// Hand-made pickles of protocol 2.
enum Pickle {
  static let stop: [UInt8] = [0x2E]

  static func file(_ parts: [UInt8]...) -> [UInt8] { [0x80, 2] + parts.flatMap { $0 } + stop }

  static func text(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    return [0x58] + little(UInt32(bytes.count)) + bytes
  }

  static func number(_ number: Int) -> [UInt8] {
    number == Int(Int32(truncatingIfNeeded: number))
      ? [0x4A] + little(UInt32(bitPattern: Int32(number))) : [0x8A, 8] + little(UInt64(bitPattern: Int64(number)))
  }

  static func name(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }

  static func tuple(_ parts: [UInt8]...) -> [UInt8] { [0x28] + parts.flatMap { $0 } + [0x74] }

  static func sizes(_ sizes: [Int]) -> [UInt8] { [0x28] + sizes.flatMap { number($0) } + [0x74] }

  static func call(_ function: [UInt8], _ arguments: [UInt8]...) -> [UInt8] {
    function + [0x28] + arguments.flatMap { $0 } + [0x74, 0x52]
  }

  static func dictionary(_ pairs: (String, [UInt8])...) -> [UInt8] {
    [0x7D, 0x28] + pairs.flatMap { text($0.0) + $0.1 } + [0x75]
  }

  static func storage(
    _ key: String = "0", type: [UInt8] = name("torch", "FloatStorage"), count: Int = 4
  ) -> [UInt8] {
    tuple(text("storage"), type, text(key), text("cpu"), number(count)) + [0x51]
  }

  static func tensor(
    _ storage: [UInt8] = storage(), offset: Int = 0, sizes: [Int] = [2, 2], strides: [Int] = [2, 1]
  ) -> [UInt8] {
    call(
      name("torch._utils", "_rebuild_tensor_v2"), storage, number(offset), self.sizes(sizes), self.sizes(strides),
      [0x89],
      call(name("collections", "OrderedDict")))
  }

  private static func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }
}
