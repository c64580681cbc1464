#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The names of files and folders that are not whole yet: `PATH.PROCESS.partial`, beside their place. A name that is too long for
/// that is cut.
public enum PartialName {
  private static let suffix = ".partial"

  /// The name for this process.
  public static func make(for path: String) -> String { "\(stem(of: path)).\(getpid())\(suffix)" }

  /// Room for the largest number that a process may have, so that all processes cut alike.
  private static let longestEnd = ".4194304" + suffix

  private static func stem(of path: String) -> String {
    String(FileSystem.path(path, suffix: longestEnd).dropLast(longestEnd.count))
  }

  /// What killed processes have left beside a path: nobody has the number in its name.
  public static func leftovers(of path: String) -> [String] {
    let (folder, prefix) = (FileSystem.folder(of: path), FileSystem.name(of: stem(of: path)) + ".")
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
