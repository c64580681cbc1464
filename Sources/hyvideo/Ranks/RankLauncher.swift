import Foundation
import Generation
import Synchronization

/// `--ranks`: starts this program several times through mpirun, waits, and ends as it does. Between the ranks and the user it
/// passes on what they print, less what the launcher adds to an error that they have explained, and signals.
enum RankLauncher {
  /// Tells ranks that this program has started them: their standard input is a connection to it. The value says whether
  /// standard error is passed on to a terminal.
  private static let variable = "HYVIDEO_LAUNCHED"

  /// Starts ranks where they are asked for and no launcher has, and ends the process with their status.
  static func launch(_ options: RankOptions, threads: Int?) throws {
    try RefusedBeforeWork.checking { try options.requireCount() }
    guard let ranks = options.ranks, ranks > 1, !RankSession.isLaunched else { return }
    _ = try options.layout(of: options.cfgParallel ? max(1, ranks / 2) : ranks)
    let launcher = try RefusedBeforeWork.checking { try MPILauncher.find() }
    let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let arguments = launcher.arguments(
      ranks: ranks, threads: threads,
      program: [program ?? CommandLine.arguments[0]] + CommandLine.arguments.dropFirst())
    setenv(variable, Console.hasTerminal ? "terminal" : "file", 1)
    let child = try LauncherProcess(launcher.path, arguments)
    Foundation.exit(child.wait())
  }

  // MARK: In a rank

  private static let launched = ProcessInfo.processInfo.environment[variable]

  /// Whether what this rank prints is passed on to a terminal.
  static let hasTerminal = launched == "terminal" && RankSession.isLaunched

  /// The signal that the program that started the launcher has passed on to the first rank; SIGTERM where it is gone.
  static func passedSignal() -> Int32? {
    if launched == nil { return nil }
    var entry = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    guard poll(&entry, 1, 0) > 0 else { return nil }
    var byte: UInt8 = 0
    return read(STDIN_FILENO, &byte, 1) == 1 ? Int32(byte) : SIGTERM
  }
}
