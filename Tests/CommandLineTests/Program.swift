import Foundation
import TensorTesting
import Testing

/// Runs the built program as its user would.
struct Program {
  struct Result {
    let status: Int32
    let output: String
    let errors: String

    /// All lines that begin as errors do: one, where a run fails.
    var errorLines: [String] { errors.split(separator: "\n").map(String.init).filter { $0.contains("error: ") } }

    /// The one line that a failure prints.
    var errorLine: String { errors.split(separator: "\n").last { $0.hasPrefix("error: ") }.map(String.init) ?? "" }
  }

  /// The program beside the test bundle, unless `HYVIDEO_PROGRAM` names one.
  static let path: String = {
    if let path = ProcessInfo.processInfo.environment["HYVIDEO_PROGRAM"], !path.isEmpty { return path }
    return BuiltProducts.path("hyvideo")
  }()

  static func run(
    program: String = path, _ arguments: [String], in folder: String = NSTemporaryDirectory(),
    environment: [String: String] = [:]
  ) throws -> Result {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let (output, errors) = (TemporaryFolder(), "errors")
    let outputURL = URL(fileURLWithPath: output.path("output"))
    let errorsURL = URL(fileURLWithPath: output.path(errors))
    for url in [outputURL, errorsURL] { _ = FileManager.default.createFile(atPath: url.path, contents: nil) }
    process.standardOutput = try FileHandle(forWritingTo: outputURL)
    process.standardError = try FileHandle(forWritingTo: errorsURL)
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return Result(
      status: process.terminationStatus, output: try String(contentsOf: outputURL, encoding: .utf8),
      errors: try String(contentsOf: errorsURL, encoding: .utf8))
  }

  /// Starts the program and does not wait for it.
  /// - Parameter errors: the file that standard error goes to.
  static func start(
    program: String = path, _ arguments: [String], errors: String? = nil, environment: [String: String] = [:]
  ) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    (process.standardInput, process.standardOutput) = (FileHandle.nullDevice, FileHandle.nullDevice)
    process.standardError = FileHandle.nullDevice
    if let errors {
      _ = FileManager.default.createFile(atPath: errors, contents: nil)
      process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errors))
    }
    // Children inherit what is blocked here.
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    try process.run()
    return process
  }
}

/// A folder that goes away with its value.
final class TemporaryFolder {
  let root: String

  init() {
    root = NSTemporaryDirectory() + "hyvideo-tests-\(UUID().uuidString)"
    try? FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  func path(_ name: String) -> String { "\(root)/\(name)" }

  /// A copy of the demo checkpoint, to be broken.
  func copyOfDemo() throws -> String {
    let copy = path("model")
    try FileManager.default.copyItem(atPath: Goldens.repositoryPath("Models/demo"), toPath: copy)
    return copy
  }
}
