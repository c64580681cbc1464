import ArgumentParser
import CPUBackend
import Checkpoints
import Foundation
import Generation
import Tokenizers
import VideoIO

/// The program. Each subcommand has a file of its own.
@main
struct Hyvideo: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hyvideo",
    abstract: "Makes videos from text with HunyuanVideo, in one native program.",
    discussion: """
      Example: hyvideo generate --prompt "A red ball moves from left to right on a black background."
      Without --model the bundled demo checkpoint is used.
      """,
    version: "hyvideo \(ProgramVersion.current)",
    subcommands: [
      GenerateCommand.self,
      InspectCommand.self,
      ConvertCommand.self,
      TokenizeCommand.self,
      CompareCommand.self,
      CalibrateCommand.self,
      BenchCommand.self,
      DecodeCommand.self,
    ])

  static func main() {
    // A peer that closes a pipe is an error to report, not a reason to die silently.
    signal(SIGPIPE, SIG_IGN)
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      let code = exitCode(for: error)
      if code.isSuccess || error is CleanExit { exit(withError: error) }
      let failure = Failure(error, parserMessage: message(for: error), parserCode: code.rawValue)
      Console.error("error: \(failure.message)\n")
      Foundation.exit(failure.status)
    }
  }
}

/// An error as the user sees it: one line, and the exit status that goes with it.
private struct Failure {
  let message: String
  let status: Int32

  init(_ error: any Error, parserMessage: String, parserCode: Int32) {
    let text: String
    switch error {
    case let refused as RefusedBeforeWork:
      (text, status) = ("\(refused.reason)", 64)
    case is RequestError, is TokenizerError:
      (text, status) = ("\(error)", 64)
    case is CheckpointError:
      (text, status) = ("\(error)", 1)
    case let stopped as Interruption:
      (text, status) = ("\(stopped)", stopped.status)
    case let silent as ExitCode:
      (text, status) = ("", silent.rawValue)
    default:
      // The parser's own errors carry a usage text; other errors describe themselves.
      let isUsage = parserCode == ExitCode.validationFailure.rawValue
      text = isUsage ? "bad command line: \(parserMessage); see --help" : "\(error)"
      status = isUsage ? 64 : 1
    }
    message = text.split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}

/// Any error that was found before heavy work began.
struct RefusedBeforeWork: Error {
  let reason: any Error

  /// Marks what a check throws as found early.
  static func checking<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let refused as RefusedBeforeWork { throw refused } catch {
      throw RefusedBeforeWork(reason: error)
    }
  }
}

enum ProgramVersion {
  static let current = "0.1.0"
}
