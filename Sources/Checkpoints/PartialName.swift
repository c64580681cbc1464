#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The names of files and folders that are not whole yet: `PATH.PROCESS.partial`, beside their place.
public enum PartialName {
  private static let suffix = ".partial"

  /// The name for this process.
  public static func make(for path: String) -> String { "\(path).\(getpid())\(suffix)" }

  /// What killed processes have left beside a path: nobody has the number in its name.
  public static func leftovers(of path: String) -> [String] {
    let (folder, prefix) = (FileSystem.folder(of: path), FileSystem.name(of: path) + ".")
    let names = (try? FileSystem.names(inFolder: folder)) ?? []
    return names.filter { name in
      guard name.hasPrefix(prefix), name.hasSuffix(suffix),
        let process = pid_t(name.dropFirst(prefix.count).dropLast(suffix.count)), process > 0
      else { return false }
      return kill(process, 0) != 0 && errno == ESRCH
    }.map { FileSystem.join(folder, $0) }
  }

  /// Removes the files among what killed processes have left.
  public static func removeLeftoverFiles(of path: String) {
    for leftover in leftovers(of: path) where FileSystem.isFile(leftover) { unlink(leftover) }
  }
}
