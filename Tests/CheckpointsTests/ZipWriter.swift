/// Hand-made zip archives, however wrong.
struct ZipWriter {
  struct Entry {
    var name: String
    var contents: [UInt8]
    /// The bytes in the archive, where they are not the contents.
    var stored: [UInt8]?
    var method: UInt16 = 0
    var flags: UInt16 = 0
    /// What the directory says instead of the truth.
    var claimedByteCount: UInt64?
    var claimedOffset: UInt64?
    var localName: String?
    /// Sizes and offset in the extra field of 64 bits.
    var isWide = false
    /// What stands for the checksum; the true one where nil.
    var claimedChecksum: UInt32?

    init(_ name: String, _ contents: [UInt8]) {
      self.name = name
      self.contents = contents
    }
  }

  var entries: [Entry] = []
  /// Whether the directory's end is the one of 64 bits.
  var isWide = false
  /// The number of entries that the directory claims.
  var claimedCount: UInt64?

  /// An archive of PyTorch with one pickle and storages named 0, 1, ….
  init(pickle: [UInt8], storages: [[UInt8]] = []) {
    entries = [Entry("archive/data.pkl", pickle)]
    entries += storages.enumerated().map { Entry("archive/data/\($0.offset)", $0.element) }
  }

  init(_ entries: [Entry]) { self.entries = entries }

  func bytes() -> [UInt8] {
    var file = Bytes()
    var directory = Bytes()
    for entry in entries {
      let offset = UInt64(file.bytes.count)
      let stored = entry.stored ?? entry.contents
      let size = entry.claimedByteCount ?? UInt64(entry.contents.count)
      let checksum = entry.claimedChecksum ?? ZipWriter.checksum(entry.contents)
      let localName = Array((entry.localName ?? entry.name).utf8)
      let name = Array(entry.name.utf8)
      file.add(UInt32(0x0403_4B50), UInt16(20), entry.flags, entry.method, UInt32(0), checksum)
      file.add(UInt32(stored.count), UInt32(truncatingIfNeeded: size), UInt16(localName.count), UInt16(0))
      file.bytes += localName + stored
      let place = entry.claimedOffset ?? offset
      directory.add(UInt32(0x0201_4B50), UInt16(20), UInt16(20), entry.flags, entry.method, UInt32(0), checksum)
      let all = UInt32.max
      let narrow = [UInt64(stored.count), size, place].map { entry.isWide ? all : UInt32(truncatingIfNeeded: $0) }
      let extraLength: UInt16 = entry.isWide ? 28 : 0
      directory.add(narrow[0], narrow[1])
      directory.add(UInt16(name.count), extraLength, UInt16(0), UInt16(0), UInt16(0))
      directory.add(UInt32(0), narrow[2])
      directory.bytes += name
      if entry.isWide { directory.add(UInt16(1), UInt16(24), size, UInt64(stored.count), place) }
    }
    let start = UInt64(file.bytes.count)
    let count = claimedCount ?? UInt64(entries.count)
    file.bytes += directory.bytes
    if isWide {
      let end = UInt64(file.bytes.count)
      file.add(UInt32(0x0606_4B50), UInt64(44), UInt16(45), UInt16(45), UInt32(0), UInt32(0))
      file.add(count, count, UInt64(directory.bytes.count), start)
      file.add(UInt32(0x0706_4B50), UInt32(0), end, UInt32(1))
    }
    let shortCount: UInt16 = isWide ? .max : UInt16(truncatingIfNeeded: count)
    let length: UInt32 = isWide ? .max : UInt32(directory.bytes.count)
    let place: UInt32 = isWide ? .max : UInt32(start)
    file.add(UInt32(0x0605_4B50), UInt32(0), shortCount, shortCount, length, place, UInt16(0))
    return file.bytes
  }

  /// CRC-32, bit by bit.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var sum = UInt32.max
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 {
        let isOdd = sum & 1 == 1
        sum >>= 1
        if isOdd { sum ^= 0xEDB8_8320 }
      }
    }
    return ~sum
  }
}

/// Little-endian numbers.
struct Bytes {
  var bytes: [UInt8] = []

  mutating func add(_ numbers: any FixedWidthInteger...) {
    for number in numbers { add(one: number) }
  }

  private mutating func add<Number: FixedWidthInteger>(one number: Number) {
    withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
  }
}
