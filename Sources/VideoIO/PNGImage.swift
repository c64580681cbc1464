/// Small pictures as PNG files, without compression.
public enum PNGImage {
  /// The bytes of a file.
  /// - Parameter rgb: rows from the top, pixels from the left, red, green, blue.
  public static func encoded(width: Int, height: Int, rgb: [UInt8]) -> [UInt8] {
    precondition(
      width > 0 && height > 0 && rgb.count == width * height * 3, "png: \(rgb.count) bytes, \(width)x\(height)")
    // Each row begins with its filter: none.
    var rows: [UInt8] = []
    rows.reserveCapacity(rgb.count + height)
    for row in 0..<height {
      rows.append(0)
      rows += rgb[row * width * 3..<(row + 1) * width * 3]
    }
    let header = bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [8, 2, 0, 0, 0]
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + chunk("IHDR", header) + chunk("IDAT", stored(rows))
      + chunk("IEND", [])
  }

  /// A zlib stream of stored blocks.
  private static func stored(_ bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = [0x78, 0x01]
    let limit = 65_535
    for start in stride(from: 0, to: bytes.count, by: limit) {
      let end = min(start + limit, bytes.count)
      let count = UInt16(end - start)
      result.append(end == bytes.count ? 1 : 0)
      for value in [count, ~count] { result += [UInt8(value & 255), UInt8(value >> 8)] }
      result += bytes[start..<end]
    }
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in bytes {
      a = (a + UInt32(byte)) % 65_521
      b = (b + a) % 65_521
    }
    return result + bigEndian(b << 16 | a)
  }

  private static func chunk(_ name: String, _ contents: [UInt8]) -> [UInt8] {
    let body = Array(name.utf8) + contents
    var check: UInt32 = ~0
    for byte in body {
      check ^= UInt32(byte)
      for _ in 0..<8 { check = check & 1 == 1 ? check >> 1 ^ 0xEDB8_8320 : check >> 1 }
    }
    return bigEndian(UInt32(contents.count)) + body + bigEndian(~check)
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    stride(from: 24, through: 0, by: -8).map { UInt8(value >> UInt32($0) & 255) }
  }
}
