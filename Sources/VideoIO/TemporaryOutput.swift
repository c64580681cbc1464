import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file or folder with a hidden name, `.hyvideo-PROCESS-NUMBER`, for what is not whole yet. It is locked while its process lives, so that
/// a later process can tell that nobody writes there any more.
final class TemporaryOutput {
  private static let prefix = ".hyvideo-"

  let path: String
  private let isFolder: Bool
  /// Holds the lock; never inherited by the encoder.
  private let descriptor: Int32
  private let cleanup: EmergencyCleanup

  private init(path: String, isFolder: Bool, descriptor: Int32) {
    (self.path, self.isFolder, self.descriptor) = (path, isFolder, descriptor)
    cleanup = EmergencyCleanup { Self.remove(path, isFolder: isFolder) }
    // File systems without locks keep what a killed process leaves there.
    if descriptor >= 0 { flock(descriptor, LOCK_EX | LOCK_NB) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Creates an empty file.
  /// - Throws: `VideoIOError.folderMissing`, `folderUnwritable` or `diskFull`.
  static func file(in folder: String, suffix: String) throws(VideoIOError) -> TemporaryOutput {
    while true {
      let path = folder + "/" + newName() + suffix
      let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 { return TemporaryOutput(path: path, isFolder: false, descriptor: descriptor) }
      if errno != EEXIST { throw OutputLocation.failure(folder: folder, code: errno) }
    }
  }

  /// Creates a folder.
  /// - Throws: `VideoIOError.folderMissing`, `folderUnwritable` or `diskFull`.
  static func folder(in folder: String) throws(VideoIOError) -> TemporaryOutput {
    while true {
      let path = folder + "/" + newName()
      if mkdir(path, 0o777) == 0 {
        return TemporaryOutput(
          path: path, isFolder: true, descriptor: open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
      }
      if errno != EEXIST { throw OutputLocation.failure(folder: folder, code: errno) }
    }
  }

  /// Removes what is there.
  func remove() { Self.remove(path, isFolder: isFolder) }

  private static func remove(_ path: String, isFolder: Bool) {
    if !isFolder {
      unlink(path)
      return
    }
    for name in OutputLocation.names(in: path) ?? [] where name.hasPrefix("frame_") { unlink("\(path)/\(name)") }
    rmdir(path)
  }

  private static func newName() -> String {
    "\(prefix)\(getpid())-" + String(UInt32.random(in: 0...UInt32.max), radix: 16)
  }

  /// Removes what killed processes of this user have left in a folder: their names are ours, no process here has the number in
  /// the name, and nobody, on any host or in any container, holds the lock. What fails one of these stays.
  static func removeLeftovers(in folder: String) {
    for name in OutputLocation.names(in: folder) ?? [] where name.hasPrefix(prefix) {
      let number = name.dropFirst(prefix.count).prefix { $0 != "-" }
      guard let process = pid_t(number), process > 0, kill(process, 0) != 0, errno == ESRCH else { continue }
      let path = "\(folder)/\(name)"
      let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
      if descriptor < 0 { continue }
      defer { close(descriptor) }
      var information = stat()
      guard fstat(descriptor, &information) == 0, information.st_uid == geteuid(),
        [S_IFREG, S_IFDIR].contains(information.st_mode & S_IFMT), flock(descriptor, LOCK_EX | LOCK_NB) == 0
      else { continue }
      remove(path, isFolder: information.st_mode & S_IFMT == S_IFDIR)
    }
  }
}
