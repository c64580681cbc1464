import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What is in folders.
public enum FileSystem {
  enum Kind { case file, folder, other, absent }

  static func kind(of path: String) -> Kind {
    var information = stat()
    if stat(path, &information) != 0 { return .absent }
    return switch information.st_mode & S_IFMT {
    case S_IFREG: .file
    case S_IFDIR: .folder
    default: .other
    }
  }

  /// Whether a path leads to a regular file.
  public static func isFile(_ path: String) -> Bool { kind(of: path) == .file }

  /// Whether a path leads to a folder.
  public static func isFolder(_ path: String) -> Bool { kind(of: path) == .folder }

  /// The names in a folder, sorted.
  /// - Throws: `CheckpointError.unreadable`.
  public static func names(inFolder path: String) throws(CheckpointError) -> [String] {
    guard let folder = opendir(path) else { throw .unreadable(file: path, reason: FileError.reason(errno)) }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The space that this user may still fill on the disk of a folder, or of the nearest one above it that exists; nil where the
  /// system does not say.
  public static func freeByteCount(at path: String) -> Int? {
    var place = path
    while !isFolder(place), place != ".", place != "/" { place = folder(of: place) }
    var information = statvfs()
    guard statvfs(place, &information) == 0 else { return nil }
    return Int(
      clamping: UInt64(information.f_bavail).multipliedReportingOverflow(by: UInt64(information.f_frsize)).partialValue)
  }

  /// `folder/name`.
  public static func join(_ folder: String, _ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  /// The folder that a file is in.
  public static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
  }

  /// The last component of a path.
  public static func name(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }
}
