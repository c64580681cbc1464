import Foundation

/// Ranks that are processes, for tests: a launcher starts this test program several times with one test, whose body joins
/// the others.
///
/// A test comes in two halves. The outer one, enabled by `canStart`, starts the inner one, enabled by `areRunning`, and looks at what
/// its ranks say.
public enum RankProcesses {
  private static let reportVariable = "HYVIDEO_RANK_REPORT"

  /// Whether this process is one of several ranks of a test.
  public static var areRunning: Bool { ProcessInfo.processInfo.environment[reportVariable] != nil }

  /// Whether this process is none and there is a launcher.
  public static var canStart: Bool { !areRunning && launcher != nil }

  private static let launcher: URL? = {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    let paths = folders.map { URL(fileURLWithPath: "\($0)/mpirun") }
    return paths.first { FileManager.default.isExecutableFile(atPath: $0.path) }
  }()

  /// What a run of ranks left behind.
  public struct Outcome: Sendable {
    public let status: Int32
    /// What the ranks printed.
    public let output: String
    /// What they said through `report`, by rank.
    public let reports: [Int: String]
  }

  /// Leaves a rank's findings for the outer half of the test.
  public static func report(_ text: String, rank: Int) throws {
    guard let folder = ProcessInfo.processInfo.environment[reportVariable] else { return }
    try text.write(toFile: "\(folder)/\(rank)", atomically: true, encoding: .utf8)
  }

  /// Runs one test on a number of ranks of this host, which may be more than it has cores.
  /// - Parameter test: a regular expression that only the inner half's name matches.
  public static func run(_ count: Int, test: String, environment: [String: String] = [:]) throws -> Outcome {
    guard let launcher else { return Outcome(status: -1, output: "no launcher of MPI programs", reports: [:]) }
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hyvideo-ranks-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let process = Process()
    process.executableURL = launcher
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    process.arguments = ["-n", "\(count)", program, "--testing-library", "swift-testing", "--filter", test]
    // Open MPI wants to be told that ranks may share cores, and that the tests of a container run as root; other
    // launchers do not look at this.
    let consent = [
      "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
      "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", reportVariable: folder.path,
    ]
    process.environment = ProcessInfo.processInfo.environment.merging(consent) { $1 }.merging(environment) { $1 }
    let transcript = folder.appendingPathComponent("output")
    _ = FileManager.default.createFile(atPath: transcript.path, contents: nil)
    let output = try FileHandle(forWritingTo: transcript)
    (process.standardInput, process.standardOutput, process.standardError) = (FileHandle.nullDevice, output, output)
    try process.run()
    process.waitUntilExit()
    var reports: [Int: String] = [:]
    for rank in 0..<count {
      reports[rank] = try? String(contentsOf: folder.appendingPathComponent("\(rank)"), encoding: .utf8)
    }
    return Outcome(
      status: process.terminationStatus, output: try String(contentsOf: transcript, encoding: .utf8), reports: reports)
  }
}
