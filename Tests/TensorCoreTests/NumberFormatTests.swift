import BackendConformance
import TensorCore
import Testing

@Suite struct NumberFormatTests {
  @Test(
    arguments: [
      (1.0, 0x3F80), (0x1.01p0, 0x3F80), (0x1.03p0, 0x3F82), (0x1.010002p0, 0x3F81), (-0.0, 0x8000),
      (Float.greatestFiniteMagnitude, 0x7F80), (-.infinity, 0xFF80), (0x1.4p-133, 0x0001),
    ] as [(Float, UInt16)])
  func `bfloat16 rounds to nearest with ties to even`(value: Float, bits: UInt16) {
    #expect(BFloat16(value).bitPattern == bits)
  }

  @Test(arguments: [0x7FC0_0000, 0x7F80_0001, 0xFFFF_FFFF, 0x7FFF_8000] as [UInt32])
  func `every NaN becomes bfloat16's quiet NaN`(bits: UInt32) {
    #expect(BFloat16(Float(bitPattern: bits)).bitPattern == 0x7FC0)
  }

  @Test func `every finite bfloat16 number survives the way through Float`() {
    for bits in UInt16.min...UInt16.max where !Float(BFloat16(bitPattern: bits)).isNaN {
      if BFloat16(Float(BFloat16(bitPattern: bits))).bitPattern != bits { Issue.record("bits \(bits)") }
    }
    #expect(Float(BFloat16(bitPattern: 0x4049)) == 3.140625)
  }

  @Test(
    arguments: [
      (0x38, 1), (0x7E, 448), (0x01, 0x1p-9), (0x07, 0x7p-9), (0x08, 0x1p-6), (0xB8, -1), (0x00, 0), (0xFE, -448),
    ] as [(UInt8, Float)])
  func `e4m3 bytes have the published values`(byte: UInt8, value: Float) {
    #expect(Float8.e4m3(byte) == value)
  }

  @Test func `e4m3 has two NaNs, no infinity, and values that grow with the byte`() {
    let values = Float8.e4m3Values
    #expect(values.indices.filter { values[$0].isNaN } == [0x7F, 0xFF])
    #expect(!values.contains { $0.isInfinite })
    #expect(zip(values[0..<0x7E], values[1..<0x7F]).allSatisfy { $0 < $1 })
    #expect(values[0x80].sign == .minus && values[0x80] == 0)
    // The sum of magnitudes, as PyTorch gives it.
    #expect(values.filter { !$0.isNaN }.map(abs).reduce(0, +) == 10815.75)
  }

  @Test(arguments: [(0x3C, 1), (0x7B, 57344), (0x01, 0x1p-16), (0x7C, .infinity), (0xBC, -1)] as [(UInt8, Float)])
  func `e5m2 bytes have the published values`(byte: UInt8, value: Float) {
    #expect(Float8.e5m2(byte) == value)
    #expect(Float8.e5m2Values[Int(byte)] == value)
  }

  @Test(arguments: BlockFormat.allCases)
  func `blocks are widened to the bits of their plain definition, from and to any element`(_ format: BlockFormat) {
    var random = RandomTensors(seed: 4)
    let tensor = random.weight("w", [1, 4 * format.elementCount], format).tensor
    let bytes = UnsafeRawBufferPointer(start: tensor.hostPointer, count: tensor.byteCount)
    let expected = stride(from: 0, to: bytes.count, by: format.byteCount).flatMap {
      format.values(ofBlock: UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + format.byteCount]))
    }
    for range in [0..<expected.count, 3..<expected.count - 5, format.elementCount..<format.elementCount + 1] {
      var found = [Float](repeating: 0, count: range.count)
      found.withUnsafeMutableBufferPointer { target in
        if let address = target.baseAddress { format.widen(range, of: tensor.hostPointer, to: address) }
      }
      #expect(zip(found, expected[range]).allSatisfy { $0.bitPattern == $1.bitPattern }, "\(range)")
    }
  }

  @Test func `e5m2 has six NaNs`() {
    #expect(Float8.e5m2Values.filter(\.isNaN).count == 6)
  }
}
