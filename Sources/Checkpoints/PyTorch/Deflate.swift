import CZlib

/// Raw deflate streams, as zip archives hold them.
enum Deflate {
  /// No stream becomes larger than this many times its size (RFC 1951: 258 bytes for two bits).
  static let largestRatio = 1032

  /// Inflates a stream.
  /// - Parameters:
  ///   - source: The whole stream.
  ///   - byteCount: The size that it has to have.
  ///   - checksum: Its CRC-32; nil where there is none.
  ///   - target: Room for `byteCount` bytes; nil to check the stream without keeping it.
  /// - Returns: What is wrong with the stream; nil where nothing is.
  static func inflate(
    _ source: UnsafeRawBufferPointer, byteCount: Int, checksum: UInt32?, into target: UnsafeMutableRawPointer?
  ) -> String? {
    var stream = z_stream()
    guard hv_inflate_raw_init(&stream) == Z_OK else { return "no memory to inflate it" }
    defer { inflateEnd(&stream) }
    let window = 1 << 16
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: window, alignment: 16)
    defer { scratch.deallocate() }

    var (read, written) = (0, 0)
    var sum = crc32(0, nil, 0)
    while true {
      // The library counts in 32 bits.
      let input = min(source.count - read, 1 << 30)
      stream.next_in = source.baseAddress.map {
        UnsafeMutablePointer(mutating: ($0 + read).assumingMemoryBound(to: UInt8.self))
      }
      stream.avail_in = UInt32(input)
      // One byte more than expected, to see a stream that is too long.
      let place = target.flatMap { written < byteCount ? $0 + written : nil } ?? scratch
      let room = place == scratch ? window : min(byteCount - written, 1 << 30)
      stream.next_out = place.assumingMemoryBound(to: UInt8.self)
      stream.avail_out = UInt32(room)
      let status = CZlib.inflate(&stream, Z_NO_FLUSH)
      let count = room - Int(stream.avail_out)
      sum = crc32(sum, place.assumingMemoryBound(to: UInt8.self), UInt32(count))
      read += input - Int(stream.avail_in)
      written += count
      if written > byteCount { return "more than the \(byteCount) bytes that the directory says" }
      if status == Z_STREAM_END { break }
      if status != Z_OK { return status == Z_BUF_ERROR ? "a stream that ends too early" : "a broken stream" }
    }
    if written != byteCount { return "\(written) bytes instead of \(byteCount)" }
    if let checksum, UInt32(truncatingIfNeeded: sum) != checksum { return "another checksum than the directory says" }
    return nil
  }

  /// The CRC-32 of stored bytes.
  static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var (sum, done) = (crc32(0, nil, 0), 0)
    while done < bytes.count {
      let count = min(bytes.count - done, 1 << 30)
      guard let address = bytes.baseAddress else { break }
      sum = crc32(sum, (address + done).assumingMemoryBound(to: UInt8.self), UInt32(count))
      done += count
    }
    return UInt32(truncatingIfNeeded: sum)
  }
}
