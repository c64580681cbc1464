import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A mapped file that is not any more what it was when it was opened.
public struct MappedFileLoss: Error, Equatable, CustomStringConvertible {
  public let path: String
  /// What has become of it.
  public let found: String

  public var description: String {
    "a file was lost while it was read: \(path): expected it as it was when it was opened, found it \(found); put it back as it "
      + "was, and give a new file its name by renaming, not by writing over the old one"
  }
}

/// What tells whether a mapped file is still what it was.
struct MappedFileWatch {
  let path: String
  let byteCount: Int
  /// Of the file, whatever its name is by now.
  let descriptor: Int32
  /// When it was last written to before it was mapped.
  let changed: timespec
  /// Its number among the mappings whose faults are survived.
  let fault: Int?

  private struct Registry {
    var last = 0
    var files: [Int: MappedFileWatch] = [:]
    var loss: MappedFileLoss?
  }

  /// All files that are mapped, and the loss of one that is not any more: what was read of it has been used.
  private static let registry = Mutex(Registry())

  private static let isWatching = Atomic<Bool>(false)

  /// From here on losses are survived, and told.
  static func start() {
    MappingFaults.install()
    isWatching.store(true, ordering: .relaxed)
  }

  static func requireIntact() throws(MappedFileLoss) {
    if !isWatching.load(ordering: .relaxed) { return }
    let loss = registry.withLock { $0.loss ?? $0.files.values.lazy.compactMap(\.loss).first }
    if let loss { throw loss }
  }

  /// - Returns: a number for `end`.
  func begin() -> Int {
    Self.registry.withLock { registry in
      registry.last += 1
      registry.files[registry.last] = self
      return registry.last
    }
  }

  func end(_ number: Int) {
    Self.registry.withLock { registry in
      registry.files[number] = nil
      if let fault, MappingFaults.isLost(fault), registry.loss == nil { registry.loss = loss }
    }
    if let fault { MappingFaults.remove(fault) }
  }

  /// What has become of the file; nil where nothing has.
  private var loss: MappedFileLoss? {
    var information = stat()
    let isKnown = fstat(descriptor, &information) == 0
    if isKnown && information.st_size < byteCount {
      return MappedFileLoss(path: path, found: "cut short to \(information.st_size) of \(byteCount) bytes")
    }
    if let fault, MappingFaults.isLost(fault) {
      return MappedFileLoss(path: path, found: "unreadable in part: its disk or its host failed")
    }
    let now = information.st_mtim
    if isKnown && (now.tv_sec, now.tv_nsec) != (changed.tv_sec, changed.tv_nsec) {
      return MappedFileLoss(path: path, found: "written to")
    }
    return nil
  }
}
