import ArgumentParser
import AscendBackend
import Foundation
import TensorCore

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
    StandardStreams.open()
    // A peer that closes a pipe is an error to report, not a reason to die silently.
    signal(SIGPIPE, SIG_IGN)
    // The same of a file that has become longer than the shell's limit (ulimit -f): the write fails, and says so.
    signal(SIGXFSZ, SIG_IGN)
    SignalThread.start()
    StopSignals.begin()
    FaultStack.install()
    MappedFile.surviveLosses()
    do {
      var command = try parsed()
      do { try command.run() } catch {
        // What was lost reads as zeros: whatever came of that is no reason by itself.
        if !(error is AgreedFailure || error is Interruption), let loss = LostFileFailure(error) { throw loss }
        throw error
      }
      try MappedFile.requireIntact()
    } catch {
      StopSignals.beginEnd()
      if exitCode(for: error).isSuccess || error is CleanExit {
        OutputClaims.release()
        exit(withError: error)
      }
      if let session = RankSession.current { session.end(error) }
      let failure = Failure(error)
      // What a command has said itself needs no more words.
      if !failure.message.isEmpty { Console.error("error: \(failure.message)\n") }
      leave(failure.status)
    }
    StopSignals.beginEnd()
    endDevices()
  }

  /// Ends the process in order. Only a rank that ends because another has failed leaves at once: its device may wait for that one.
  static func leave(_ status: Int32) -> Never {
    endDevices()
    Foundation.exit(status)
  }

  /// On the main thread, when nothing is computed any more and devices are closed.
  private static func endDevices() {
    OutputClaims.release()
    for failure in AscendSystem.endAll() { Console.error("warning: \(failure)\n") }
  }

  /// The command of the command line. A rank whose command line is bad, or whose command needs no others, tells them: they would
  /// wait for it.
  private static func parsed() throws -> any ParsableCommand {
    do {
      try CommandWords.requireText()
      let words = try CommandWords(Array(CommandLine.arguments.dropFirst()))
      let command = try parseAsRoot(words.words)
      if !sharedCommands.contains(where: { $0 == type(of: command) }) {
        // A command that is parsed as another only prints its help.
        let name = CommandLine.arguments.dropFirst().first ?? "nothing"
        let asksForHelp = sharedCommands.contains { $0.configuration.commandName == name }
        try RankSession.meet(command: asksForHelp ? commandLine : name)
      }
      return command
    } catch  where !(error is AgreedFailure) {
      guard RankSession.isLaunched else { throw error }
      if exitCode(for: error).isSuccess || error is CleanExit {
        try RankSession.meet(command: commandLine)
      } else {
        _ = try RankSession.join(failure: Failure(error))
      }
      throw error
    }
  }

  /// The commands that several ranks do together.
  private static let sharedCommands: [any ParsableCommand.Type] = [
    BenchCommand.self, GenerateCommand.self, VerifyCommand.self,
  ]
  private static var commandLine: String { CommandLine.arguments.dropFirst().joined(separator: " ") }
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

/// A failure after a file was lost that weights or tensors were read from.
struct LostFileFailure: Error, CustomStringConvertible {
  let description: String

  /// - Returns: nil where no file is lost, or where the error says so itself.
  init?(_ error: any Error) {
    do {
      try MappedFile.requireIntact()
      return nil
    } catch let loss {
      description = "\(loss)"
      if "\(error)".contains(description) { return nil }
    }
  }
}

enum ProgramVersion {
  static let current = "0.1.0"
}
