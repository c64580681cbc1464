import Foundation

/// Starts the program as several processes, as its user would with a launcher.
extension Program {
  /// The launcher, and what it needs on a machine with fewer cores than ranks.
  private static var launcher: [String] {
    let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/mpirun" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
    return [path ?? "mpirun", "-q", "--oversubscribe", "--bind-to", "none"]
      + (geteuid() == 0 ? ["--allow-run-as-root"] : [])
  }

  /// Runs ranks with the same arguments and waits for them.
  static func run(ranks: Int, _ arguments: [String], environment: [String: String] = [:]) throws -> Result {
    try run([(ranks, arguments)], environment: environment)
  }

  /// Runs ranks of several kinds and waits for them.
  /// - Parameter others: the program of all kinds but the first.
  static func run(
    _ kinds: [(ranks: Int, arguments: [String])], others: String = path, environment: [String: String] = [:]
  ) throws -> Result {
    let words = kinds.enumerated().flatMap { index, kind in
      (index > 0 ? [":"] : []) + ["-n", "\(kind.ranks)", index == 0 ? path : others] + kind.arguments
    }
    return try run(program: launcher[0], Array(launcher[1...]) + words, environment: environment)
  }

  /// Starts ranks and does not wait for them.
  static func start(
    ranks: Int, _ arguments: [String], errors: String, environment: [String: String] = [:]
  ) throws -> Process {
    try start(
      program: launcher[0], launcher[1...] + ["-n", "\(ranks)", path] + arguments, errors: errors,
      environment: environment)
  }

  /// The processes that are ranks of a run, by rank.
  /// - Parameter mark: what among their arguments tells them from others.
  static func ranks(of mark: String) -> [Int: pid_t] {
    var result: [Int: pid_t] = [:]
    for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
      guard let process = pid_t(name), words(process, "cmdline").contains(mark),
        words(process, "cmdline").first?.hasSuffix("hyvideo") == true
      else { continue }
      let key = "OMPI_COMM_WORLD_RANK="
      for word in words(process, "environ") where word.hasPrefix(key) {
        if let rank = Int(word.dropFirst(key.count)) { result[rank] = process }
      }
    }
    return result
  }

  private static func words(_ process: pid_t, _ file: String) -> [String] {
    let contents = FileManager.default.contents(atPath: "/proc/\(process)/\(file)") ?? Data()
    return contents.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Waits until a run has printed something.
  static func wait(for text: String, in file: String, of process: Process) throws {
    while !(try String(contentsOfFile: file, encoding: .utf8)).contains(text) && process.isRunning {
      Thread.sleep(forTimeInterval: 0.005)
    }
  }

  /// Waits until a run has ended.
  /// - Returns: whether it did in time; it is killed where not.
  static func ends(_ process: Process, within seconds: Double) -> Bool {
    let deadline = Date(timeIntervalSinceNow: seconds)
    while process.isRunning && Date() < deadline { Thread.sleep(forTimeInterval: 0.01) }
    defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
    return !process.isRunning
  }
}
