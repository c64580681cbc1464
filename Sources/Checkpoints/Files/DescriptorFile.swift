import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// An open file, closed when it goes. For what is read once or written; weights are mapped (`MappedFile`).
struct DescriptorFile: ~Copyable {
  let path: String
  private let descriptor: Int32

  /// Opens an existing regular file.
  init(reading path: String) throws(CheckpointError) {
    // Without O_NONBLOCK a named pipe would wait for a writer for ever.
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    self.path = path
    if descriptor < 0 { throw .unreadable(file: path, reason: FileError.reason(errno)) }
    guard try information().st_mode & S_IFMT == S_IFREG else {
      throw .unreadable(file: path, reason: "not a regular file")
    }
  }

  /// Creates a file, replacing what was there.
  /// - Parameter path: The name that the file will get and that errors name.
  init(creating temporaryPath: String, for path: String) throws(CheckpointError) {
    descriptor = open(temporaryPath, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    self.path = path
    if descriptor < 0 { throw .unwritable(file: path, reason: FileError.reason(errno)) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private func information() throws(CheckpointError) -> stat {
    var result = stat()
    if fstat(descriptor, &result) != 0 { throw .unreadable(file: path, reason: FileError.reason(errno)) }
    return result
  }

  /// The size in bytes.
  func byteCount() throws(CheckpointError) -> Int { Int(try information().st_size) }

  /// Reads bytes from `offset` on into the front of a buffer.
  /// - Returns: how many bytes there were, fewer than asked for only at the end of the file.
  func read(_ byteCount: Int, into buffer: inout [UInt8], at offset: Int) throws(CheckpointError) -> Int {
    precondition(byteCount <= buffer.count, "read: \(byteCount) bytes do not fit a buffer of \(buffer.count)")
    var done = 0
    while done < byteCount {
      let count = buffer.withUnsafeMutableBytes { bytes in
        pread(
          descriptor, UnsafeMutableRawBufferPointer(rebasing: bytes[done...]).baseAddress, byteCount - done,
          offset + done)
      }
      if count < 0 && errno == EINTR { continue }
      if count < 0 { throw .unreadable(file: path, reason: FileError.reason(errno)) }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// The whole contents, refused where they are larger than `limit` bytes.
  func readAll(limit: Int) throws(CheckpointError) -> [UInt8] {
    let size = try byteCount()
    guard size <= limit else {
      throw .malformed(file: path, place: "size", expected: "at most \(limit) bytes", found: "\(size)")
    }
    var bytes = [UInt8](repeating: 0, count: size)
    let count = try read(size, into: &bytes, at: 0)
    bytes.removeLast(size - count)
    return bytes
  }

  /// Writes all bytes at `offset`.
  func write(_ bytes: [UInt8], at offset: Int) throws(CheckpointError) {
    let result = bytes.withUnsafeBytes { buffer in
      Result { () throws(CheckpointError) in try write(buffer, at: offset) }
    }
    try result.get()
  }

  /// Writes all bytes at `offset`.
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws(CheckpointError) {
    guard let address = buffer.baseAddress else { return }
    var done = 0
    while done < buffer.count {
      let count = pwrite(descriptor, address + done, buffer.count - done, offset + done)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { throw .unwritable(file: path, reason: FileError.reason(errno)) }
      done += count
    }
  }

  /// Waits until the contents are on the disk.
  func synchronize() throws(CheckpointError) {
    // Some file systems do not know fsync (EINVAL): then there is nothing to wait for.
    if fsync(descriptor) != 0 && errno != EINVAL { throw .unwritable(file: path, reason: FileError.reason(errno)) }
  }
}

extension FileError {
  /// The system's words for an error code.
  static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
