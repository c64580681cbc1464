#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Checks of the places where outputs go.
enum OutputLocation {
  /// The folder that holds a path.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Checks that a file of this name can be put in its folder.
  /// - Throws: `VideoIOError.outputUnusable` or the errors of `createFile`.
  static func checkFile(_ path: String) throws(VideoIOError) {
    if path.isEmpty || path.hasSuffix("/") { throw .outputUnusable(path: path, reason: "no file name") }
    if path.utf8.contains(0) { throw .outputUnusable(path: path, reason: "a zero character in the name") }
    var information = stat()
    if lstat(path, &information) == 0 {
      if stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR {
        throw .outputUnusable(path: path, reason: "a folder")
      }
    } else if errno == ENAMETOOLONG {
      throw .outputUnusable(path: path, reason: "a name that is too long for the file system")
    }
    TemporaryOutput.removeLeftovers(in: folder(of: path))
    try TemporaryOutput.file(in: folder(of: path), suffix: ".tmp").remove()
  }

  /// Gives a finished file its final name.
  static func move(_ source: String, to target: String) throws(VideoIOError) {
    if rename(source, target) != 0 { throw failure(folder: folder(of: target), code: errno) }
  }

  /// The names in a folder, without `.` and `..`, in no order; nil when it cannot be read (see `errno`).
  static func names(in folder: String) -> [String]? {
    guard let stream = opendir(folder) else { return nil }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// The typed error for an error number met in a folder.
  static func failure(folder: String, code: Int32) -> VideoIOError {
    switch code {
    case ENOENT, ENOTDIR: .folderMissing(path: folder, code: code)
    case ENOSPC, EDQUOT: .diskFull(path: folder)
    default: .folderUnwritable(path: folder, code: code)
    }
  }
}
