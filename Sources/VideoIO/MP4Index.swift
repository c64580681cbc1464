import Glibc

/// What the index of an mp4 file says of its first track (ISO/IEC 14496-12): enough to tell a whole file from one that was cut.
struct MP4Index {
  /// Frames of the track.
  let sampleCount: Int

  /// An index is a few bytes for each frame; more is none.
  private static let mostBytes = 1 << 28

  /// Nil for a file that has no such index, or whose boxes reach beyond its end.
  init?(path: String) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    let end = Int(lseek(descriptor, 0, SEEK_END))
    func bytes(_ range: Range<Int>) -> [UInt8]? {
      guard range.upperBound <= end, range.count <= Self.mostBytes else { return nil }
      var result = [UInt8](repeating: 0, count: range.count)
      return pread(descriptor, &result, range.count, off_t(range.lowerBound)) == range.count ? result : nil
    }
    var (place, movie): (Int, [UInt8]?) = (0, nil)
    while place < end {
      guard let head = bytes(place..<min(place + 16, end)), let box = Box(head[...]), box.size <= end - place else {
        return nil
      }
      if box.type == "moov" { movie = bytes(place + box.headSize..<place + box.size) }
      place += box.size
    }
    var inside = movie?[...]
    for type in ["trak", "mdia", "minf", "stbl", "stsz"] { inside = inside.flatMap { Self.contents(of: type, in: $0) } }
    // Version and flags, the size of all samples where it is one, and how many there are.
    guard let table = inside, table.count >= 12 else { return nil }
    sampleCount = Int(Box.number(table.dropFirst(8).prefix(4)))
  }

  /// What is in the first box of a type.
  private static func contents(of type: String, in bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var rest = bytes
    while let box = Box(rest), box.size <= rest.count {
      if box.type == type { return rest.prefix(box.size).dropFirst(box.headSize) }
      rest = rest.dropFirst(box.size)
    }
    return nil
  }

  /// The head of a box.
  private struct Box {
    let type: String
    let size: Int
    let headSize: Int

    /// Nil where a box cannot begin so.
    init?(_ bytes: ArraySlice<UInt8>) {
      guard bytes.count >= 8 else { return nil }
      type = String(decoding: bytes.dropFirst(4).prefix(4), as: UTF8.self)
      let short = Box.number(bytes.prefix(4))
      if short == 1 {
        guard bytes.count >= 16, let long = Int(exactly: Box.number(bytes.dropFirst(8).prefix(8))) else { return nil }
        (size, headSize) = (long, 16)
      } else {
        (size, headSize) = (Int(short), 8)
      }
      if size < headSize { return nil }
    }

    static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
  }
}
