#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Why a file could not be opened or mapped.
public struct FileError: Error, CustomStringConvertible {
  public let path: String
  public let operation: String
  public let code: Int32

  public init(path: String, operation: String, code: Int32) {
    self.path = path
    self.operation = operation
    self.code = code
  }

  public var description: String { "cannot \(operation): \(path): \(String(cString: strerror(code)))" }
}

/// A file mapped into memory for reading. Pages are read when touched and shared by all processes that map the file.
public final class MappedFile: Storage, @unchecked Sendable {
  // Sendable: the mapping is read-only and lives as long as the object.
  public let path: String
  public let byteCount: Int
  private let address: UnsafeMutableRawPointer?
  private let watch: MappedFileWatch
  private let number: Int

  /// From here on pages that are lost read as zeros, instead of ending the process without a word, and `requireIntact` looks for
  /// losses. For programs: it is of the whole process.
  public static func surviveLosses() { MappedFileWatch.start() }

  /// Checks that all mapped files are as they were when they were opened. Without `surviveLosses` it finds nothing.
  /// - Throws: the loss of one that was cut short or written over, or that its disk does not give any more.
  public static func requireIntact() throws(MappedFileLoss) { try MappedFileWatch.requireIntact() }

  /// Maps a whole file. An empty file has no address.
  /// - Throws: `FileError` when the file cannot be opened, is not a regular file or cannot be mapped.
  public init(path: String) throws(FileError) {
    // Non-blocking: a named pipe without a writer would stop the program here.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if descriptor < 0 { throw FileError(path: path, operation: "open", code: errno) }
    func failure(_ operation: String, _ code: Int32) -> FileError {
      close(descriptor)
      return FileError(path: path, operation: operation, code: code)
    }
    var information = stat()
    if fstat(descriptor, &information) != 0 { throw failure("read the size of", errno) }
    if information.st_mode & S_IFMT != S_IFREG {
      throw failure("map", information.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
    }
    let size = Int(information.st_size)
    var mapping: UnsafeMutableRawPointer?
    if size > 0 {
      mapping = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0)
      if mapping == MAP_FAILED { throw failure("map", errno) }
    }
    (self.path, address, byteCount) = (path, mapping, size)
    watch = MappedFileWatch(
      path: path, byteCount: size, descriptor: descriptor, changed: information.st_mtim,
      fault: mapping.flatMap { MappingFaults.add($0, byteCount: size) })
    number = watch.begin()
  }

  deinit {
    watch.end(number)
    if let address { munmap(address, byteCount) }
    close(watch.descriptor)
  }

  public var hostAddress: UnsafeMutableRawPointer? { address }

  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: address, count: byteCount) }

  /// What the system reads for one piece of advice at most, however long the range: its read-ahead size, 128 KiB where nobody has
  /// raised it. The rest of a longer range would be read page by page by whoever computes with it.
  private static let readAheadByteCount = 128 << 10

  public func prefetch(_ bytes: Range<Int>) {
    let end = min(bytes.upperBound, byteCount)
    for start in stride(from: max(bytes.lowerBound, 0), to: end, by: Self.readAheadByteCount) {
      advise(start..<min(start + Self.readAheadByteCount, end), MADV_WILLNEED)
    }
  }

  public func release(_ bytes: Range<Int>) { advise(bytes, MADV_DONTNEED) }

  /// Passes advice for the whole pages inside a range to the system.
  private func advise(_ bytes: Range<Int>, _ advice: Int32) {
    guard let address else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let lower = max(bytes.lowerBound, 0) / page * page
    let upper = min(bytes.upperBound, byteCount)
    // Advice is a hint: a refusal changes nothing that the program promises. Not `posix_madvise`, which does nothing for
    // DONTNEED in glibc; a read-only mapping of a file only loses pages that it can read again.
    if lower < upper { _ = madvise(address + lower, upper - lower, advice) }
  }
}
