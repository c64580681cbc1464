import Checkpoints
import Foundation
import Synchronization

/// The names that runs of this moment write to: no two have one.
///
/// Names are locks on bytes of a hidden file in their folder. The system lets go of them when a process ends, however it ends, so that
/// none is ever left over; the file goes with the last process that uses it. Hosts that share a file system see each other's.
enum OutputClaims {
  static let fileName = ".hyvideo-claims"

  enum Answer {
    case taken
    /// Another process has the name.
    case busy
    /// The folder or its file system does not take locks.
    case unsupported
  }

  /// The open files, by their folders.
  private static let files = Mutex<[String: Int32]>([:])
  /// Locks that belong to an open file, not to a process (`F_OFD_SETLK`): those of a process go when it closes any descriptor of
  /// the file.
  private static let setLock: Int32 = 37
  /// Every user of the file has a shared lock on its first byte; who gets it alone may remove the file.
  private static let presence: off_t = 0

  /// Takes a name for this process. One that it has already is taken again.
  static func take(_ path: String) -> Answer {
    let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
    let folder = FileSystem.folder(of: trimmed)
    return files.withLock { files in
      let key = URL(fileURLWithPath: folder).resolvingSymlinksInPath().path
      if files[key] == nil {
        switch opened(folder) {
        case .success(let file): files[key] = file
        case .failure: return .unsupported
        }
      }
      guard let file = files[key] else { return .unsupported }
      return lock(file, at: place(of: FileSystem.name(of: trimmed)), as: F_WRLCK) == nil ? .taken : .busy
    }
  }

  /// Lets go of all names. Files that nobody else uses go.
  static func release() {
    files.withLock { files in
      for (folder, file) in files {
        if lock(file, at: presence, as: F_WRLCK) == nil { unlink(FileSystem.join(folder, fileName)) }
        close(file)
      }
      files.removeAll()
    }
  }

  private struct Refused: Error {}

  private static func opened(_ folder: String) -> Result<Int32, Refused> {
    let path = FileSystem.join(folder, fileName)
    // A process that ends may remove the file in between; a hundred in a row do not.
    for _ in 0..<100 {
      let file = Foundation.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o666)
      if file < 0 { return .failure(Refused()) }
      let code = lock(file, at: presence, as: F_RDLCK)
      var (here, there) = (stat(), stat())
      if code == nil, fstat(file, &here) == 0, stat(path, &there) == 0, here.st_ino == there.st_ino {
        return .success(file)
      }
      close(file)
      if let code, ![EAGAIN, EACCES].contains(code) { return .failure(Refused()) }
      usleep(1000)
    }
    return .failure(Refused())
  }

  /// - Returns: the system's error number where the lock is not had.
  private static func lock(_ file: Int32, at place: off_t, as kind: Int32) -> Int32? {
    var request = Foundation.flock()
    request.l_type = Int16(kind)
    request.l_whence = Int16(SEEK_SET)
    request.l_start = place
    request.l_len = 1
    return withUnsafeMutablePointer(to: &request) { fcntl(file, setLock, $0) } == 0 ? nil : errno
  }

  /// The byte that stands for a name: FNV-1a, the same in every process.
  private static func place(of name: String) -> off_t {
    let hash = name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    return off_t(hash >> 2) + 1
  }
}
