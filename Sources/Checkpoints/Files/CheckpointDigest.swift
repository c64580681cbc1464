/// Identifies checkpoints by their contents.
///
/// The digest of a set of files is the SHA-256 of, for each file in the order of its name's bytes: the length of the
/// name (8 bytes, little-endian), the name in UTF-8, the size of the file (8 bytes) and the SHA-256 of its contents.
/// Files of more than 256 MiB are not read whole: in place of their contents stand the first MiB (where the directory of
/// a safetensors file is), the last MiB (where that of an archive is) and 256 samples of 64 KiB in between, sample `i`
/// from byte `i · (size - 65,536) / 255` on, rounded down. So the digest tells releases and conversions apart within a
/// fraction of a second for any size; against one changed byte in the middle of a large file it does not protect.
public enum CheckpointDigest {
  private static let wholeLimit = 256 << 20
  private static let edge = 1 << 20
  private static let sampleCount = 256
  private static let sampleSize = 64 << 10

  /// The digest of files, as 64 hexadecimal digits.
  /// - Parameters:
  ///   - paths: The files, in any order.
  ///   - root: The folder that names are relative to; a file outside it counts by its last component.
  /// - Throws: `CheckpointError.unreadable`.
  public static func sha256(of paths: [String], relativeTo root: String) throws(CheckpointError) -> String {
    let prefix = root.hasSuffix("/") ? root : root + "/"
    let named = paths.map { path in
      (
        name: Array((path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : FileSystem.name(of: path)).utf8),
        path
      )
    }
    var hash = SHA256()
    for (name, path) in named.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
      let (size, contents) = try contents(of: path)
      hash.update(count: name.count)
      name.withUnsafeBytes { hash.update($0) }
      hash.update(count: size)
      contents.withUnsafeBytes { hash.update($0) }
    }
    return hexadecimal(hash.finalize())
  }

  /// The SHA-256 of bytes in memory, as 64 hexadecimal digits.
  public static func sha256(of bytes: UnsafeRawBufferPointer) -> String {
    var hash = SHA256()
    hash.update(bytes)
    return hexadecimal(hash.finalize())
  }

  private static func hexadecimal(_ digest: [UInt8]) -> String {
    digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }

  private static func contents(of path: String) throws(CheckpointError) -> (size: Int, digest: [UInt8]) {
    let file = try DescriptorFile(reading: path)
    let size = try file.byteCount()
    var hash = SHA256()
    // Read, not mapped: mapped pages would count as memory of the process.
    var buffer = [UInt8](repeating: 0, count: edge)
    for range in ranges(size) {
      let count = try file.read(range.count, into: &buffer, at: range.lowerBound)
      guard count == range.count else { throw .unreadable(file: path, reason: "it became shorter while it was read") }
      buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }
    return (size, hash.finalize())
  }

  /// The parts of a file that count, each at most `edge` bytes.
  private static func ranges(_ size: Int) -> [Range<Int>] {
    if size <= wholeLimit { return stride(from: 0, to: size, by: edge).map { $0..<min($0 + edge, size) } }
    let samples = (0..<sampleCount).map { sample in
      // Divided first, so that no size overflows.
      let (quotient, remainder) = (size - sampleSize).quotientAndRemainder(dividingBy: sampleCount - 1)
      let start = quotient * sample + remainder * sample / (sampleCount - 1)
      return start..<start + sampleSize
    }
    return [0..<edge, size - edge..<size] + samples
  }
}

extension SHA256 {
  fileprivate mutating func update(count: Int) {
    withUnsafeBytes(of: UInt64(count).littleEndian) { update($0) }
  }
}

extension Checkpoint {
  /// The digest of the checkpoint's files.
  /// - Throws: `CheckpointError.unreadable`.
  public func sha256() throws(CheckpointError) -> String {
    try CheckpointDigest.sha256(of: files, relativeTo: path)
  }
}
