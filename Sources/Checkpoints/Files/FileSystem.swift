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

  /// Makes a folder and those above it that are missing.
  /// - Throws: `CheckpointError.unwritable`, with the system's reason.
  public static func makeFolder(_ path: String) throws(CheckpointError) {
    var trimmed = path[...]
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
    if trimmed.isEmpty || isFolder(path) { return }
    let above = folder(of: String(trimmed))
    if above != "." { try makeFolder(above) }
    if mkdir(path, 0o777) == 0 { return }
    let code = errno
    // Another process may have been quicker.
    if !isFolder(path) { throw .unwritable(file: path, reason: FileError.reason(code)) }
  }

  /// Writes a file under another name and renames it, so that a file of that name is always whole.
  /// - Throws: `CheckpointError.unwritable`, with the system's reason.
  public static func write(_ bytes: [UInt8], to path: String) throws(CheckpointError) {
    let file = try PartialFile(path: path)
    try file.write(bytes, at: 0)
    try file.finish()
  }

  /// The contents of a small file.
  /// - Throws: `CheckpointError` where it cannot be read or is larger than `limit` bytes.
  public static func contents(of path: String, limit: Int) throws(CheckpointError) -> [UInt8] {
    try DescriptorFile(reading: path).readAll(limit: limit)
  }

  /// Writes a copy of a small file; of a link, what it leads to.
  /// - Throws: `CheckpointError` where it cannot be read or written, or is larger than 256 MiB.
  public static func copyFile(_ source: String, to path: String) throws(CheckpointError) {
    try write(DescriptorFile(reading: source).readAll(limit: 256 << 20), to: path)
  }

  /// A path that goes on from another one: `stem` and `suffix`, where the file system takes so long a name. Else the stem's name is
  /// cut, and gets a mark that others with the same beginning do not have.
  public static func path(_ stem: String, suffix: String) -> String {
    let slash = stem.lastIndex(of: "/").map(stem.index(after:)) ?? stem.startIndex
    let (folder, name) = (stem[..<slash], stem[slash...])
    let room = nameLimit(inFolder: self.folder(of: stem)) - suffix.utf8.count
    if name.utf8.count <= room { return stem + suffix }
    // FNV-1a: the same in every process.
    let hash = name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    let digits = String(hash, radix: 16)
    let mark = "~" + String(repeating: "0", count: 16 - digits.count) + digits
    var cut = ""
    var length = mark.utf8.count
    for character in name {
      length += character.utf8.count
      if length > room { break }
      cut.append(character)
    }
    return folder + cut + mark + suffix
  }

  /// How many bytes a name in a folder may have.
  public static func nameLimit(inFolder folder: String) -> Int {
    let limit = pathconf(folder, Int32(_PC_NAME_MAX))
    return limit > 0 ? limit : 255
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
