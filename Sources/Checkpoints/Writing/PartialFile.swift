import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file that is being written under a temporary name beside its place. It gets its own name when it is whole; one that is
/// given up before that is removed. Not `Sendable`: one task writes.
final class PartialFile {
  let path: String
  private let temporaryPath: String
  private let file: DescriptorFile
  private let cleanup: EmergencyCleanup
  private var isFinished = false

  /// - Throws: `CheckpointError.unwritable`.
  init(path: String) throws(CheckpointError) {
    self.path = path
    PartialName.removeLeftoverFiles(of: path)
    temporaryPath = PartialName.make(for: path)
    file = try DescriptorFile(creating: temporaryPath, for: path)
    cleanup = EmergencyCleanup { [temporaryPath] in unlink(temporaryPath) }
  }

  deinit { if !isFinished { unlink(temporaryPath) } }

  /// Writes all bytes at `offset`.
  func write(_ bytes: [UInt8], at offset: Int) throws(CheckpointError) { try file.write(bytes, at: offset) }

  /// Writes all bytes at `offset`.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CheckpointError) {
    try file.write(bytes, at: offset)
  }

  /// Puts the file in its place.
  func finish() throws(CheckpointError) {
    try file.synchronize()
    if rename(temporaryPath, path) != 0 { throw .unwritable(file: path, reason: FileError.reason(errno)) }
    isFinished = true
  }
}
