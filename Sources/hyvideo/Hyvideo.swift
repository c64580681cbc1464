import ArgumentParser
import Foundation

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
      GenerateCommand.self, PlanCommand.self,
      InspectCommand.self,
      ConvertCommand.self,
      TokenizeCommand.self,
      CompareCommand.self,
      CalibrateCommand.self,
      BenchCommand.self,
      DecodeCommand.self,
      ProfileCommand.self,
      ReportCommand.self,
      ReproduceCommand.self,
      VerifyCommand.self, DevicesCommand.self,
    ])

  static func main() {
    // A peer that closes a pipe is an error to report, not a reason to die silently.
    signal(SIGPIPE, SIG_IGN)
    do {
      var command = try parsed()
      try command.run()
    } catch {
      if exitCode(for: error).isSuccess || error is CleanExit { exit(withError: error) }
      if let session = RankSession.current { session.end(error) }
      let failure = Failure(error)
      Console.error("error: \(failure.message)\n")
      Foundation.exit(failure.status)
    }
  }

  /// The command of the command line. A rank whose command line is bad, or whose command needs no others, tells them: they would
  /// wait for it.
  private static func parsed() throws -> any ParsableCommand {
    do {
      let command = try parseAsRoot()
      // Commands without a name of their own only print help.
      if !sharedCommands.contains(CommandLine.arguments.dropFirst().first ?? "") { try RankSession.meet() }
      return command
    } catch  where !(error is AgreedFailure) {
      guard RankSession.isLaunched else { throw error }
      if exitCode(for: error).isSuccess || error is CleanExit {
        try RankSession.meet(command: CommandLine.arguments.dropFirst().joined(separator: " "))
      } else {
        _ = try RankSession.join(failure: Failure(error))
      }
      throw error
    }
  }

  /// The commands that several ranks do together.
  private static let sharedCommands: Set = ["bench", "generate", "verify"]
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
