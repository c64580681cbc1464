/// A picture to draw lines and small capitals on.
struct Canvas {
  struct Color {
    let red: UInt8
    let green: UInt8
    let blue: UInt8

    static let black = Color(red: 30, green: 30, blue: 30)
    static let grid = Color(red: 220, green: 220, blue: 220)
    static let series = [
      Color(red: 31, green: 119, blue: 180), Color(red: 214, green: 39, blue: 40), Color(red: 44, green: 160, blue: 44),
      Color(red: 255, green: 127, blue: 14), Color(red: 148, green: 103, blue: 189),
      Color(red: 140, green: 86, blue: 75),
      Color(red: 23, green: 190, blue: 207),
    ]
  }

  let width: Int
  let height: Int
  private var pixels: [UInt8]

  init(width: Int, height: Int) {
    self.width = width
    self.height = height
    pixels = [UInt8](repeating: 255, count: width * height * 3)
  }

  mutating func point(_ x: Int, _ y: Int, color: Color) {
    guard (0..<width).contains(x), (0..<height).contains(y) else { return }
    let position = (y * width + x) * 3
    (pixels[position], pixels[position + 1], pixels[position + 2]) = (color.red, color.green, color.blue)
  }

  mutating func dot(_ x: Int, _ y: Int, color: Color) {
    for dy in -2...2 { for dx in -2...2 { point(x + dx, y + dy, color: color) } }
  }

  mutating func line(_ x0: Int, _ y0: Int, _ x1: Int, _ y1: Int, color: Color) {
    let count = max(abs(x1 - x0), abs(y1 - y0), 1)
    for i in 0...count { point(x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count, color: color) }
  }

  /// Capitals, digits and a few signs, 6 pixels each; others stay blank.
  mutating func text(_ text: String, x: Int, y: Int, color: Color) {
    for (index, character) in text.enumerated() {
      guard let rows = Font.glyphs[character] else { continue }
      for (dy, row) in rows.enumerated() {
        for dx in 0..<5 where row & (16 >> UInt8(dx)) != 0 { point(x + index * 6 + dx, y + dy, color: color) }
      }
    }
  }

  /// The picture as a PNG file, uncompressed.
  func png() -> [UInt8] {
    var rows: [UInt8] = []
    rows.reserveCapacity(height * (width * 3 + 1))
    for y in 0..<height {
      rows.append(0)
      rows += pixels[y * width * 3..<(y + 1) * width * 3]
    }
    var stream: [UInt8] = [0x78, 0x01]
    for start in stride(from: 0, to: rows.count, by: 65_535) {
      let count = min(65_535, rows.count - start)
      let length = UInt16(count)
      stream.append(start + count == rows.count ? 1 : 0)
      stream += [UInt8(length & 255), UInt8(length >> 8), UInt8(~length & 255), UInt8(~length >> 8)]
      stream += rows[start..<start + count]
    }
    stream += Self.bigEndian(Self.adler32(rows))
    let header = Self.bigEndian(UInt32(width)) + Self.bigEndian(UInt32(height)) + [8, 2, 0, 0, 0]
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + Self.chunk("IHDR", header)
      + Self.chunk("IDAT", stream) + Self.chunk("IEND", [])
  }

  private static func chunk(_ name: String, _ content: [UInt8]) -> [UInt8] {
    let body = Array(name.utf8) + content
    return bigEndian(UInt32(content.count)) + body + bigEndian(crc32(body))
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

  private static func adler32(_ bytes: [UInt8]) -> UInt32 {
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in bytes {
      a = (a + UInt32(byte)) % 65_521
      b = (b + a) % 65_521
    }
    return b << 16 | a
  }

  private static func crc32(_ bytes: [UInt8]) -> UInt32 {
    let table = (0..<256).map { index -> UInt32 in
      (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 }
    }
    return ~bytes.reduce(~0) { table[Int(($0 ^ UInt32($1)) & 255)] ^ $0 >> 8 }
  }
}
